"""Prometheus itself, by the configuration and the rules of docs/observe, watches a server."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.db import connection

from billing_site.local.engines.process import wait_until
from billing_site.local.supervisor import Command
from tests.cast import Customer
from tests.journeys.server import CHECKOUT, Server, running
from tests.ports import free_port

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian's package prometheus)"),
]
TOKEN = "as-long-as-it-is-random"


@pytest.fixture
def site() -> Iterator[Server]:
    with running(connection.settings_dict["NAME"], METRICS_TOKEN=TOKEN) as server:
        yield server


@pytest.fixture
def prometheus(site: Server, tmp_path: Path) -> Iterator[str]:
    shutil.copytree(CHECKOUT / "docs" / "observe", tmp_path, dirs_exist_ok=True)
    given = (tmp_path / "prometheus.yml").read_text()
    ours = given.replace("127.0.0.1:8000", f"127.0.0.1:{site.port}").replace("15s", "1s")
    assert ours.count(str(site.port)) == 1
    (tmp_path / "prometheus.yml").write_text(ours)
    (tmp_path / "metrics-token").write_text(TOKEN)
    port = free_port()
    argv = [str(PROMETHEUS), f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    argv.append(f"--web.listen-address=127.0.0.1:{port}")
    command = Command("prometheus", argv, log=tmp_path / "log", env=os.environ, cwd=tmp_path)
    command.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        command.stop()


def ask(prometheus: str, query: str) -> dict[str, float]:
    """Values by the label `of`; nothing while it does not answer."""
    try:
        answer = requests.get(f"{prometheus}/api/v1/query", params={"query": query}, timeout=10).json()
    except requests.RequestException:
        return {}
    found: list[dict[str, Any]] = answer["data"]["result"]
    return {each["metric"].get("of", ""): float(each["value"][1]) for each in found}


def test_it_scrapes_the_site_and_reads_the_rules(site: Server, prometheus: str, erin: Customer) -> None:
    with site.session(erin.key) as session:
        for _ in range(3):
            assert session.get(f"{site.url}/api/v1/usage/current", timeout=30).status_code == 200
    calls = 'sum(metered_decisions_total{job="metered",outcome="admitted",plan="enterprise"})'
    wait_until(lambda: ask(prometheus, calls) == {"": 3}, 60, "it does not see the calls")
    assert ask(prometheus, 'up{job="metered"}') == {"": 1}
    groups = requests.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    # No beat has run beside this site, and that is what it says.
    wait_until(
        lambda: ask(prometheus, 'count(ALERTS{alertname="MeteredBeatSilent"})') == {"": 1}, 60, "it misses the beat"
    )
