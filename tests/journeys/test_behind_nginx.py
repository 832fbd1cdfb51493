"""The configuration of nginx that docs/nginx.conf gives: what it lets through, and what it keeps off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from tests.cast import Customer
from tests.journeys.nginx import needs_nginx, nginx_before
from tests.journeys.server import Server, forget_catalogues, running
from tests.journeys.test_raw_paths import reached, request
from tests.slow_clients import SENT, SlowClients

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]
EACH = 40


@pytest.fixture(scope="module")
def proxied(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    """A server as its clients see it: nginx, with the site behind it."""
    with django_db_blocker.unblock():
        database = connection.settings_dict["NAME"]
    variables = {"BEHIND_PROXY": "1", "CLIENT_ADDRESS_HEADER": "X-Real-IP"}
    with running(database, **variables) as site, nginx_before(site.port) as front:
        yield front


def exchange(front: Server, sent: bytes) -> bytes:
    """What comes until nginx closes; to it, a client that closes its half has gone."""
    with front.connect() as one:
        one.sendall(sent)
        return b"".join(iter(lambda: one.recv(65536), b""))


def test_slow_clients_wait_at_the_proxy(proxied: Server, erin: Customer) -> None:
    forget_catalogues()
    slow = SlowClients(("127.0.0.1", proxied.port), EACH)
    try:
        with proxied.session(erin.key) as session:
            for path in ("/health", "/api/v1/trace/start") * 3:
                assert session.get(f"{proxied.url}{path}", timeout=10).status_code == 200
        assert slow.still_open() == list(SENT), "they were not there while others were served"
    finally:
        slow.close()


def test_what_passes_is_what_the_client_sent(proxied: Server, erin: Customer) -> None:
    forget_catalogues()
    sent = request(erin.key, "POST", "/api/v1/trace/start").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    answer = exchange(proxied, sent + b'8\r\n{"depth"\r\n3\r\n:2}\r\n0\r\n\r\n')
    assert reached(answer) and b'"input":{"depth":2}' in answer
    for target in (
        "/api%2fv1/trace/start",
        "//api/v1/trace/start",
        "/api/v1/trace/%73tart",
        "/api/v1/plans/../trace/start",
    ):
        answer = exchange(proxied, request(erin.key, "GET", target))
        assert answer.startswith(b"HTTP/1.1 ") and (not reached(answer) or b"x-usage-cost: 10\r\n" in answer.lower())
    with proxied.session(erin.key) as session:
        large = session.post(f"{proxied.url}/api/v1/trace/start", data=b"x" * 1_000_001, timeout=30)
        assert large.status_code == 413
