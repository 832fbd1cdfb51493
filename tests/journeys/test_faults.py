"""The short version of `make chaos`: three faults under load on a site of their own, the laws checked from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.conf import settings
from django.db import connection

from tests.journeys.server import CHECKOUT, NOT_OF_THE_RUN

SHORT = ("sigkill-redis", "sigkill-drain", "sigkill-worker")
LIMIT_SECONDS = 150


@pytest.mark.django_db(transaction=True)
def test_the_laws_hold_when_redis_the_drain_and_workers_are_killed(tmp_path: Path) -> None:
    """Its Redis, drain and web server are its own; only the empty database is the test run's."""
    database = urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}"))
    environment = {name: value for name, value in os.environ.items() if name not in NOT_OF_THE_RUN}
    argv = [sys.executable, "-m", "tests.programs.chaos", *SHORT, "--brief", "--database", database]
    made = subprocess.run(
        argv,
        cwd=CHECKOUT,
        env=environment | {"LOCAL_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    results = {line.split()[0]: line.split()[-1] for line in made.stdout.splitlines() if line.startswith(SHORT)}
    assert (made.returncode, results) == (0, dict.fromkeys(SHORT, "pass")), made.stdout
