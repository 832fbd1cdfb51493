"""A store on the run's own Redis, and private servers that a test may stop, kill and restart."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings

from billing_site.local.engines import Valkey
from billing_site.local.engines.places import sockets_root
from ratelimit.servers.single import SingleServer, Store
from ratelimit.store import client
from tests.ratelimit.account import Account

PATIENT_SECONDS = 10.0


@pytest.fixture(scope="session")
def store() -> Store:
    """Patient, so that a busy machine fails no test of a rule."""
    return SingleServer(settings.REDIS_URL, PATIENT_SECONDS)


@pytest.fixture
def server() -> Any:
    """An ordinary client of the server that `store` speaks to."""
    return client()


@pytest.fixture
def account(store: Store) -> Account:
    return Account(store).published()


@pytest.fixture
def everything(server: Any) -> Callable[[], dict[bytes, bytes]]:
    """Reads all that the server holds, so that a test can say: nothing has changed."""
    return lambda: {key: server.dump(key) for key in sorted(server.keys("*"))}


@pytest.fixture
def private_server() -> Iterator[Callable[..., Valkey]]:
    """Starts servers of the test's own; its processes may be signalled."""
    folder = Path(tempfile.mkdtemp(prefix=f"pbv-{os.geteuid()}-", dir=sockets_root()))
    started: list[Valkey] = []

    def start(**options: Any) -> Valkey:
        name = f"v{len(started)}"
        socket = None if "port" in options else folder / "s" / f"{name}.sock"
        server = Valkey(folder / name, socket, **{"durable": False} | options)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process:
            server.process.send_signal(signal.SIGCONT)
        server.kill()
    shutil.rmtree(folder)


def connect(server: Valkey) -> redis.Redis:
    return redis.Redis.from_url(server.url)
