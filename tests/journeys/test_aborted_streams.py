"""Clients that leave a stream in its middle, over real sockets: they pay for what was sent, and nothing stays open."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Feature, ModelPrice
from billing_site.agent.served import EVENTS_A_HEARTBEAT
from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.effort import effort
from tests.journeys.server import Server, forget_catalogues, running
from usage.drain import drain
from usage.log.reservation_facts import OPEN
from usage.metering.reservations import sweep
from usage.models import Reservation, UsageLog, WindowUsage

pytestmark = pytest.mark.django_db(transaction=True)
RESET = struct.pack("ii", 1, 0)
CLIENTS, AT_ONCE = effort(20, 200), 8
CHUNKS, LEAVES_AFTER, CHUNK_MS = 60, 5, 40
SETTLED_WITHIN_SECONDS = 60
PROMPT = 100
A_TOKEN_EACH = 1_000_000  # thousandths of a token for 1,000 units


def request(server: Server, key: str, run: str) -> bytes:
    text = " ".join(["word"] * PROMPT)
    body = json.dumps(
        {
            "model": "m-exact",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 100,
            "chunks": CHUNKS,
            "chunk_ms": CHUNK_MS,
            "stream": True,
        }
    ).encode()
    head = [
        "POST /api/v1/agent/query HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: Bearer {key}",
        f"Usage-Run: {run}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def take(connected: socket.socket, words: int) -> int:
    """How many words have come, once there are so many."""
    taken = b""
    while (count := taken.count(b'"content":"w') + taken.count(b'"content":" w')) < words:
        block = connected.recv(65_536)
        assert block, taken[:500]
        taken += block
    return count


def leave_early(server: Server, key: str, run: str, *, rudely: bool) -> int:
    """How many words the client has got. `rudely`: its system says that the connection is gone, or just closes it."""
    with server.connect() as connected:
        connected.sendall(request(server, key, run))
        got = take(connected, LEAVES_AFTER)
        if rudely:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        return got


def none_is_open(customer: Customer) -> bool:
    drain.drain()
    rows = Reservation.objects.filter(account=customer.account)
    return rows.count() == CLIENTS and not rows.filter(state=OPEN).exists()


def price() -> None:
    """A model of which each unit costs a token."""
    feature = Feature.objects.get(code="ai_agent_query")
    rates = dict.fromkeys(("input", "cache_read", "cache_write", "output"), A_TOKEN_EACH)
    ModelPrice.objects.create(model="m-exact", feature=feature, valid_from=timezone.now() - timedelta(days=1), **rates)
    forget_catalogues()


def test_what_was_sent_is_charged_and_none_is_left_open(server: Server, erin: Customer) -> None:
    price()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        got = dict(
            pool.map(
                lambda number: (f"r-{number}", leave_early(server, erin.key, f"r-{number}", rudely=bool(number % 2))),
                range(CLIENTS),
            )
        )
    wait_until(lambda: none_is_open(erin), SETTLED_WITHIN_SECONDS, "a stream that nobody reads was not settled")
    rows = Reservation.objects.filter(account=erin.account)
    assert {(row.state, row.outcome, row.estimated) for row in rows} == {("settled", "aborted", False)}
    for row in rows:
        assert got[row.run] <= row.units["output"] < CHUNKS, row.run
        assert row.charged == PROMPT + row.units["output"]
    logged = sum(UsageLog.objects.filter(account=erin.account).values_list("tokens", flat=True))
    counted = sum(WindowUsage.objects.filter(account_id=erin.account).values_list("tokens", flat=True))
    assert logged == counted == sum(row.charged or 0 for row in rows)


def test_a_process_that_dies_leaves_its_last_heartbeat(catalogue: None, erin: Customer, settings: Any) -> None:
    with running(connection.settings_dict["NAME"]) as server:
        price()
        with server.connect() as connected:
            connected.sendall(request(server, erin.key, "r"))
            got = take(connected, 4)
            drain.drain()  # as its process does: PostgreSQL has the row, for heartbeats that Redis misses
            got += take(connected, 20 - got)
            for worker in server.workers():
                os.kill(worker, signal.SIGKILL)
    drain.drain()
    assert Reservation.objects.get(account=erin.account).state == OPEN
    settings.RATELIMIT_CLOCK = "process"
    assert sweep.expire_due(timezone.now() + timedelta(minutes=11)) == 1
    drain.drain()
    row = Reservation.objects.get(account=erin.account)
    assert (row.state, row.estimated) == ("expired", True)
    assert got - EVENTS_A_HEARTBEAT <= row.units["output"] < CHUNKS
    assert row.charged == PROMPT + row.units["output"]
