"""The real thing for tests: gunicorn with two workers on a free port, on the test run's database and Redis."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from django.conf import settings
from django.db import connection

import billing_site
from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing_site.local.engines.process import last_line, wait_until
from billing_site.local.supervisor import Command
from tests.ports import free_port

CHECKOUT = Path(billing_site.__file__).resolve().parent.parent
UP_SECONDS = 90.0
NOT_OF_THE_RUN = ("PYTEST_XDIST_WORKER", "COVERAGE_PROCESS_CONFIG", "PROMETHEUS_MULTIPROC_DIR")
"""Variables that a process beside the run does not inherit: it is no worker of it, and tracing would cost a third."""


@dataclass
class Server:
    """Where it listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def session(self, key: str = "") -> requests.Session:
        """A client with a connection of its own, sending this key."""
        session = requests.Session()
        session.trust_env = False
        if key:
            session.headers["Authorization"] = f"Bearer {key}"
        return session

    def raw(self, request: bytes) -> bytes:
        """What it answers to these bytes, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connected:
            connected.sendall(request)
            connected.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connected.recv(65536), b""))


@pytest.fixture(scope="session")
def gunicorn(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    """Started once a run, ended with it however it ends. Tests take `server`, which gives it a fresh catalogue."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gunicorn.log"
        server = Server(free_port())
        command = Command("web", _argv(server.port), log=log, env=environment(database), cwd=CHECKOUT)
        command.start()

        def is_healthy() -> bool:
            assert command.process is not None and command.process.poll() is None, last_line(log)
            try:
                return requests.get(f"{server.url}/health", timeout=5).status_code == 200
            except requests.RequestException:
                return False

        try:
            wait_until(is_healthy, UP_SECONDS, f"gunicorn does not come up: {log.read_text()[-2000:]}")
            yield server
        finally:
            command.stop()


@pytest.fixture
def server(gunicorn: Server, catalogue: None) -> Server:
    """The server, told that whatever it remembers of earlier tests' catalogues is stale."""
    version = time.time_ns() // 1_000_000
    Fence.objects.update_or_create(subject=CATALOGUE, defaults={"version": version, "pushed": version - 1})
    push.push([CATALOGUE])
    return gunicorn


def _argv(port: int) -> list[str]:
    config = ["--config", "python:billing_site.gunicorn_config", "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *config, "--workers", "2", "--graceful-timeout", "1"]


def environment(database: str) -> dict[str, str]:
    ours = {
        "DJANGO_SETTINGS_MODULE": "billing_site.settings",
        "DATABASE_URL": urlunsplit(urlsplit(settings.DATABASE_URL)._replace(path=f"/{database}")),
        "REDIS_URL": settings.REDIS_URL,
        "SECRET_KEY": settings.SECRET_KEY,
        "SANDBOX": "1",
        # These tests are about what is decided, not how fast on a machine that does other things.
        "REDIS_TIMEOUT_MS": "10000",
        "DATABASE_HANGS_AFTER_MS": "10000",
    }
    return {name: value for name, value in os.environ.items() if name not in NOT_OF_THE_RUN} | ours


__all__ = ["Server", "environment", "gunicorn", "server"]
