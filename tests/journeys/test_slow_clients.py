"""Slow clients cost nobody else anything, and are disconnected; slow but honest ones are served."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.staticfiles import finders
from django.db import connection

from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.journeys.server import Server, forget_catalogues, running
from tests.journeys.test_metrics import admitted
from tests.slow_clients import LARGE, SENT, SlowClients

pytestmark = pytest.mark.django_db(transaction=True)
EACH = 40
DEADLINE_SECONDS = 10
TRACE = "/api/v1/trace/start"


@pytest.fixture(scope="module")
def impatient(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    """Its deadline is short, and it has few places for connections."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    slow = str(DEADLINE_SECONDS)
    with running(database, "--worker-connections", "400", WEB_SLOW_CLIENT_SECONDS=slow) as server:
        yield server


def serves(server: Server, key: str) -> bool:
    """Whether new connections to either worker are answered, at a metered path and at /health."""
    for _ in range(4):
        with server.session(key) as session:
            for path in ("/health", TRACE):
                if session.get(f"{server.url}{path}", timeout=DEADLINE_SECONDS).status_code != 200:
                    return False
    return True


def test_slow_clients_disturb_nobody_and_are_disconnected(impatient: Server, erin: Customer) -> None:
    forget_catalogues()
    slow = SlowClients(("127.0.0.1", impatient.port), EACH)
    try:
        assert serves(impatient, erin.key)
        assert slow.still_open() == list(SENT), "they were not there while others were served"

        def all_ended() -> bool:
            slow.drip()
            return not slow.still_open()

        wait_until(all_ended, 6 * DEADLINE_SECONDS, "slow clients stay connected")
        assert slow.answers("silence") == {b""}
        assert slow.answers("half a body") == slow.answers("a drip") == {b"HTTP/1.1 408 Request Timeout"}
    finally:
        slow.close()


def test_a_crowd_of_them_leaves_places_for_others(impatient: Server, erin: Customer) -> None:
    """More connections than the workers have places: the oldest of those that wait are closed."""
    forget_catalogues()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    slow = SlowClients(("127.0.0.1", impatient.port), 1000, ["a header line"])
    try:
        assert serves(impatient, erin.key)
    finally:
        slow.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_but_honest_ones_are_served(server: Server, erin: Customer) -> None:
    body = b'{"depth": 2, "text": "' + b"x" * 200_000 + b'"}'
    head = f"POST {TRACE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {erin.key}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    with server.connect() as one:
        for byte in head.encode():
            one.sendall(bytes([byte]))
        assert one.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        for at in range(0, len(body), 1000):
            one.sendall(body[at : at + 1000])
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK") and answer.count(b"x" * 200_000) == 1
    found = finders.find(LARGE.removeprefix(django_settings.STATIC_URL))
    with server.connect() as one, open(found, "rb") as file:
        one.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        taken = b"".join(iter(lambda: one.recv(2048), b""))
        assert taken.partition(b"\r\n\r\n")[2] == file.read()


def test_a_killed_worker_is_replaced_and_metrics_add_up(impatient: Server, erin: Customer) -> None:
    forget_catalogues()
    workers = impatient.workers()
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: len({*impatient.workers()} - {workers[0]}) == 2, 60, "the worker is not replaced")
    before = admitted(impatient)
    assert serves(impatient, erin.key)
    assert {admitted(impatient) - before for _ in range(8)} == {4}
