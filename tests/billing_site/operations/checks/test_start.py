"""A web process starts unless its settings would break a law, and says what is wrong with an engine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from billing_site.local.engines import Valkey
from billing_site.operations.checks.start import at_start
from ratelimit.checks import ENGINES, report_engines
from tests.outages import lose_postgres
from tests.ratelimit.conftest import connect, private_server

__all__ = ["lose_postgres", "private_server"]  # fixtures
CHECKOUT = Path(__file__).resolve().parents[4]


def test_wrong_settings_end_a_web_process(settings: Any) -> None:
    settings.MIDDLEWARE = []
    with pytest.raises(ImproperlyConfigured, match=r"billing_site\.E001"):
        at_start()


def test_an_engines_faults_are_logged_and_stop_nothing(
    private_server: Callable[..., Valkey],
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    lose_postgres: Callable[[], None],
) -> None:
    lose_postgres()
    server = private_server(durable=True)
    settings.REDIS_URL = server.url
    connect(server).config_set("maxmemory-policy", "allkeys-lru")
    with caplog.at_level(logging.WARNING, "ratelimit.checks"):
        report_engines().join()
    found = {(record.levelname, record.getMessage().split()[0]) for record in caplog.records}
    assert found == {("ERROR", "ratelimit.E001"), ("WARNING", "billing_site.W010")}


@pytest.mark.parametrize(
    ("arguments", "code"), [(["check"], 0), (["check", "--deploy", "--tag", ENGINES, "--fail-level", "WARNING"], 1)]
)
def test_only_a_deployment_asks_the_engines(arguments: list[str], code: int) -> None:
    nowhere = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SECRET_KEY": "tests",
        "DJANGO_SETTINGS_MODULE": "billing_site.settings",
    }
    argv = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(argv, cwd=CHECKOUT, env=os.environ | nowhere, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert ("ratelimit.W004" in done.stderr, "billing_site.W010" in done.stderr) == (code == 1, code == 1)
