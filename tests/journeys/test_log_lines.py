"""The log as processes write it: gunicorn's access and error lines, Celery's, the drain's, all in one form."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.journeys.server import CHECKOUT, environment, running

pytestmark = pytest.mark.django_db(transaction=True)


def lines_of(log: Path, form: str) -> list[Any]:
    found = log.read_text().splitlines()
    return [json.loads(line) for line in found] if form == "json" else found


@pytest.mark.parametrize("form", ["json", "line"])
def test_of_the_web_server(erin: Customer, tmp_path: Path, form: str) -> None:
    access, errors = tmp_path / "access", tmp_path / "errors"
    files = ("--access-logfile", str(access), "--error-logfile", str(errors))
    with (
        running(connection.settings_dict["NAME"], *files, LOG_FORMAT=form) as server,
        server.session(erin.key) as session,
    ):
        asked = f"{server.url}/api/v1/risk/%0Aforged?token=hush-hush-hush"
        session.get(asked, headers={"X-Request-ID": "of-this-one"}, timeout=30)
        session.get(f"{server.url}/api/v1/usage/current", headers={"X-Request-ID": erin.key}, timeout=30)
        wait_until(lambda: "/api/v1/usage/current" in access.read_text(), 30, "no line of it")
        told = lines_of(access, form)
        assert lines_of(errors, form)  # of its start
    assert "hush" not in access.read_text() and erin.key.partition(".")[2] not in access.read_text()
    if form == "json":
        first = next(line for line in told if line.get("request") == "of-this-one")
        assert (first["path"], first["status"], first["logger"]) == ("/api/v1/risk/%0Aforged", 404, "gunicorn.access")
        assert {"method", "bytes", "seconds", "address", "message"} <= set(first)
        second = next(line for line in told if line["path"] == "/api/v1/usage/current")
        assert (second["account"], second["status"]) == (erin.account, 200)
    else:
        form_of_all = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ gunicorn\.access \S+ (account=\d+ )?GET /\S* \d{3} ")
        assert [line for line in told if not form_of_all.match(line)] == []
        assert any(" of-this-one " in line and "GET /api/v1/risk/%0Aforged 404 " in line for line in told)


def process(*argv: str, log: Path) -> subprocess.Popen[bytes]:
    own = environment(connection.settings_dict["NAME"]) | {"LOG_FORMAT": "json"}
    own["PYTHONWARNINGS"] = "ignore"  # Celery's, of a worker that root runs, comes from before its log
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *argv], cwd=CHECKOUT, env=own, stderr=output, stdout=subprocess.DEVNULL
        )


def test_of_celery(erin: Customer, tmp_path: Path) -> None:
    log = tmp_path / "worker"
    argv = (
        "-m",
        "celery",
        "--app",
        "billing_site",
        "worker",
        "--pool",
        "solo",
        "--loglevel",
        "INFO",
        "--without-mingle",
    )
    worker = process(*argv, "--without-gossip", "--hostname", f"logs-{os.getpid()}@here", log=log)
    try:
        wait_until(lambda: '"celery@' in log.read_text() or " ready." in log.read_text(), 60, "the worker is not ready")
        _send_one_that_fails()
        wait_until(lambda: "raised unexpected" in log.read_text(), 60, "the task has not failed")
    finally:
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    failed = next(line for line in lines_of(log, "json") if "raised unexpected" in line["message"])
    assert failed["level"] == "ERROR" and failed["error"].startswith("Traceback") and failed["task"]
    assert "hush-hush" not in log.read_text()


def _send_one_that_fails() -> None:
    """A task that exists, with an argument that it does not take and nobody should read."""
    script = "from billing_site.celery import app; app.send_task('usage.tasks.make_partitions', ['password=hush-hush'])"
    own = environment(connection.settings_dict["NAME"])
    subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, env=own, check=True, timeout=60)


def test_of_the_drain(tmp_path: Path) -> None:
    log = tmp_path / "drain"
    drain = process("manage.py", "drain_usage", "--follow", log=log)
    try:
        wait_until(lambda: "the drain follows 64 streams" in log.read_text(), 60, "it does not say that it has begun")
    finally:
        drain.send_signal(signal.SIGTERM)
        assert drain.wait(30) == 0
    assert [line["logger"] for line in lines_of(log, "json")].count("usage.management.commands.drain_usage") == 1
