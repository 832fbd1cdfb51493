"""The real thing for tests: gunicorn with two workers on a free port, on the test run's database and Redis."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
LOG_SHOWN = 10_000
NOT_OF_THE_RUN = ("PYTEST_XDIST_WORKER", "COVERAGE_PROCESS_CONFIG", "PROMETHEUS_MULTIPROC_DIR")
"""Variables that a process beside the run does not inherit: it is no worker of it, and tracing would cost a third."""


@dataclass
class Server:
    """Where it listens."""

    port: int
    process: subprocess.Popen[bytes] = field(init=False)

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

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        master = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    def raw(self, request: bytes) -> bytes:
        """What it answers to these bytes, until it closes the connection."""
        with self.connect() as connected:
            connected.sendall(request)
            connected.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connected.recv(65536), b""))


@pytest.fixture(scope="session")
def gunicorn(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    """Started once a run, ended with it however it ends. Tests take `server`, which gives it a fresh catalogue."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    with running(database) as server:
        yield server


@contextmanager
def running(
    database: str, *arguments: str, checkout: Path = CHECKOUT, held: socket.socket | None = None, **variables: str
) -> Iterator[Server]:
    """A server of the caller's own, with more of gunicorn's arguments and variables, and of another checkout's code.

    `held` is a socket that is handed over to it, as systemd does, and that outlives it.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "gunicorn.log"
        server = Server(held.getsockname()[1] if held else free_port())
        argv = [*_argv(server.port), *arguments]
        if held:
            argv = ["bash", "-c", f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&{held.fileno()}', "-", *argv]
        descriptors = [held.fileno()] if held else []
        env = environment(database) | variables
        command = Command("web", argv, log=log, env=env, cwd=checkout, descriptors=descriptors)
        command.start()
        assert command.process is not None
        server.process = command.process

        def is_healthy() -> bool:
            assert server.process.poll() is None, last_line(log)
            try:
                return requests.get(f"{server.url}/health", timeout=5).status_code == 200
            except requests.RequestException:
                return False

        try:
            wait_until(is_healthy, UP_SECONDS, f"gunicorn does not come up: {log.read_text()[-2000:]}")
            yield server
        finally:
            command.stop()
            print(log.read_text()[-LOG_SHOWN:])  # pytest shows it where the test fails


@pytest.fixture
def server(gunicorn: Server, catalogue: None) -> Server:
    """The server, told that whatever it remembers of earlier tests' catalogues is stale."""
    forget_catalogues()
    return gunicorn


def forget_catalogues() -> None:
    """Tell all servers that what they remember of a catalogue is stale."""
    version = time.time_ns() // 1_000_000
    Fence.objects.update_or_create(subject=CATALOGUE, defaults={"version": version, "pushed": version - 1})
    push.push([CATALOGUE])


def _argv(port: int) -> list[str]:
    config = ["--config", "python:billing_site.gunicorn_config", "--bind", f"127.0.0.1:{port}"]
    return [sys.executable, "-m", "gunicorn", *config, "--workers", "2", "--graceful-timeout", "1"]


def open_files(pid: int) -> list[str]:
    """What the process has open, by the kernel's names: a path, `socket:[…]`, `anon_inode:[…]`."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return found


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


__all__ = ["Server", "environment", "forget_catalogues", "gunicorn", "running", "server"]
