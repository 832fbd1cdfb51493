"""Laws L1 and L3 over real HTTP: 64 clients at once, two worker processes, exactly the right number of successes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from django.db import connections
from django.db.models import Sum

from billing.models import LimitOverride, Plan, TokenTopUp
from tests.cast import Customer
from tests.journeys.server import Server
from usage.drain import drain
from usage.models import UsageLog, WindowUsage

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 64


def storm(server: Server, keys: list[str], path: str, calls: int) -> Counter[int]:
    """Statuses of `calls` calls by each of 64 clients that start at the same moment; client i sends keys[i % n]."""
    start = Barrier(CLIENTS)

    def client(number: int) -> list[int]:
        with server.session(keys[number % len(keys)]) as session:
            start.wait()
            return [session.get(f"{server.url}{path}", timeout=60).status_code for _ in range(calls)]

    with ThreadPoolExecutor(CLIENTS) as threads:
        return Counter(status for statuses in threads.map(client, range(CLIENTS)) for status in statuses)


def lift_minute(customer: Customer, maximum: int | None = None) -> None:
    LimitOverride.objects.create(account=customer.user, limit="minute", maximum=maximum)


def test_the_quota_is_spent_to_the_last_call_and_no_further(server: Server, bob: Customer) -> None:
    lift_minute(bob)
    assert storm(server, [bob.key], "/api/v1/graph/nodes", 5) == {200: 166, 429: 320 - 166}
    with server.session(bob.key) as session:
        assert session.get(f"{server.url}/api/v1/usage/current", timeout=30).json()["tokens_used"] == 498
    drain.drain()
    rows = UsageLog.objects.filter(account=bob.user)
    assert (rows.count(), rows.aggregate(Sum("tokens"))["tokens__sum"]) == (166, 498)
    assert WindowUsage.objects.get(account_id=bob.account).tokens == 498


def test_the_minute_admits_exactly_its_number(server: Server, bob: Customer) -> None:
    assert storm(server, [bob.key], "/api/v1/usage/current", 2) == {200: 30, 429: 98}


def test_the_minute_refuses_without_charging(server: Server, bob: Customer) -> None:
    lift_minute(bob, 100)
    assert storm(server, [bob.key], "/api/v1/graph/nodes", 3) == {200: 100, 429: 92}
    drain.drain()
    assert UsageLog.objects.filter(account=bob.user).aggregate(Sum("tokens"))["tokens__sum"] == 300


def test_failing_calls_leave_nothing_behind(server: Server, bob: Customer) -> None:
    """Each holds 3 tokens while it runs, so only what fits at the same time is refused, and none is lost after."""
    lift_minute(bob)
    statuses = storm(server, [bob.key], "/api/v1/graph/nodes?fail=418", 3)
    assert set(statuses) <= {418, 429} and statuses[418] >= 166
    drain.drain()
    rows = UsageLog.objects.filter(account=bob.user)
    assert rows.aggregate(Sum("tokens"))["tokens__sum"] == 0
    assert rows.filter(kind="void").count() == statuses[418]
    with server.session(bob.key) as session:
        assert session.get(f"{server.url}/api/v1/usage/current", timeout=30).json()["tokens_used"] == 0


def test_accounts_do_not_share(server: Server, customer: Callable[..., Customer]) -> None:
    crowd = [customer(f"user{number}", "community") for number in range(8)]
    assert storm(server, [one.key for one in crowd], "/api/v1/risk/score", 2) == {200: 80, 429: 48}
    drain.drain()
    assert sorted(WindowUsage.objects.values_list("tokens", flat=True)) == [20] * 8


def test_edits_under_load_fail_nobody(server: Server, erin: Customer) -> None:
    """Each edit makes every worker's facts stale; each call reloads once and is decided by the new ones."""
    done = Event()

    def edit() -> None:
        try:
            while not done.wait(0.15):
                Plan.objects.get(code="enterprise").save()
                TokenTopUp.objects.create(account=erin.user, tokens=1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as editor:
        edits = editor.submit(edit)
        try:
            assert storm(server, [erin.key], "/api/v1/risk/score", 20) == {200: CLIENTS * 20}
        finally:
            done.set()
        edits.result()
    drain.drain()
    assert WindowUsage.objects.get(account_id=erin.account).tokens == CLIENTS * 20 * 2
