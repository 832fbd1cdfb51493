"""/metrics of two worker processes, whichever of them is asked, and after one of them has ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families

from billing_site.local.engines.process import wait_until
from billing_site.operations.metrics_folder import VARIABLE
from tests.cast import Customer
from tests.journeys.server import Server, open_files, running

pytestmark = pytest.mark.django_db(transaction=True)
CALLS = 24
ADMITTED = ("metered_decisions_total", {"outcome": "admitted", "plan": "enterprise"})


def admitted(server: Server) -> float:
    """What the process that takes a new connection says."""
    with server.session() as session:
        text = session.get(f"{server.url}/metrics", timeout=30).text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return sum(s.value for s in samples if (s.name, s.labels) == ADMITTED)


def call(server: Server, key: str) -> None:
    for _ in range(CALLS):
        with server.session(key) as session:  # a new connection, which either process takes
            assert session.get(f"{server.url}/api/v1/usage/current", timeout=30).status_code == 200


def test_every_process_gives_the_sum_of_all(server: Server, erin: Customer) -> None:
    before = admitted(server)
    call(server, erin.key)
    assert {admitted(server) - before for _ in range(12)} == {CALLS}


def test_a_worker_that_ends_takes_no_count_along_and_leaves_no_file(erin: Customer) -> None:
    with running(connection.settings_dict["NAME"]) as server:
        folder = Path(folder_of(server))
        call(server, erin.key)
        for number in (signal.SIGTERM, signal.SIGKILL):
            ended = server.workers()[0]
            os.kill(ended, number)
            wait_until(lambda ended=ended: ended not in server.workers(), 30, "the worker lives on")  # type: ignore[misc]
            wait_until(lambda: len(server.workers()) == 2, 30, "no worker takes its place")
            wait_until(lambda ended=ended: not [*folder.glob(f"*_{ended}.db")], 30, "its files stay")  # type: ignore[misc]
            assert {admitted(server) for _ in range(6)} == {CALLS}
        assert {path.name for path in folder.glob("*_ended.db")} == {"counter_ended.db", "histogram_ended.db"}
    wait_until(lambda: not folder.exists(), 10, "the folder stays")


def folder_of(server: Server) -> str:
    """Where the server's workers add up: it has made the folder itself, as no variable names one."""
    variables = Path(f"/proc/{server.workers()[0]}/environ").read_bytes()
    assert VARIABLE.encode() not in variables, "the folder was given"
    (folder,) = {name for name in open_files(server.process.pid) if "metered-metrics-" in name}
    return folder
