"""Many accounts touched at once on an empty Redis: one look at PostgreSQL an account, and nobody gets a second quota.

COLD_ACCOUNTS=10000 runs it at the size that is promised; a test run takes fewer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections

from billing.entitlements import snapshots
from billing.entitlements.callers import Caller
from billing.rules import ids
from ratelimit.limits import Outcome
from ratelimit.store import client
from tests.conftest import forget_everything
from usage.drain import drain
from usage.log import events, store
from usage.log.events import Event
from usage.metering import admit
from usage.metering.call import ChargeRequest
from usage.models import WindowUsage

pytestmark = pytest.mark.django_db(transaction=True)
ACCOUNTS = int(os.environ.get("COLD_ACCOUNTS", "100"))
THREADS = 16
CALLS = 3
"""Of each account, at the same time; the tokens left on community are enough for one of them."""
USED, LEFT = 90, 10


class Reads:
    """Counts the looks at an account's counter in PostgreSQL, by all threads."""

    def __init__(self) -> None:
        self.of = Counter[int]()
        self._lock = Lock()

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        if sql.startswith("SELECT") and 'FROM "usage_windowusage"' in sql:
            with self._lock:
                self.of[int(params[0])] += 1
        return execute(sql, params, *rest)


def touch(account: int) -> Outcome:
    admission = admit.admit(Caller(account), lambda catalogue: ChargeRequest(catalogue.features["trace_start"]))
    assert admission.quota.used <= USED + LEFT
    return admission.decision.outcome


def touch_all(calls: Iterable[int], reads: Reads, *, threads: int = THREADS) -> Counter[tuple[int, Outcome]]:
    """Each call by whichever thread is free; how often each account had which outcome."""
    start = Barrier(threads)
    waiting, taking = iter(calls), Lock()

    def work(_: int) -> Counter[tuple[int, Outcome]]:
        outcomes = Counter[tuple[int, Outcome]]()
        try:
            connection.ensure_connection()
            start.wait()
            with connection.execute_wrapper(reads):
                while True:
                    with taking:
                        account = next(waiting, None)
                    if account is None:
                        return outcomes
                    outcomes[account, touch(account)] += 1
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads)), Counter())


@pytest.fixture
def accounts(catalogue: None) -> list[int]:
    """Customers on community that have used 90 of their 100 tokens, as PostgreSQL knows."""
    users = get_user_model().objects
    users.bulk_create([get_user_model()(username=f"customer-{n}") for n in range(ACCOUNTS)])
    found = list(users.values_list("pk", flat=True))
    now_ms = time.time_ns() // 1_000_000
    used = []
    for account in found:
        window = snapshots.snapshot(account, now_ms).entitlement.window
        start, end = (int(at.timestamp()) for at in (window.start, window.end))
        used.append(Event(ids.mint(now_ms), events.CHARGE, account, start, end, "trace_start", USED, now_ms))
    store.store(used)
    assert WindowUsage.objects.count() == ACCOUNTS
    return found


def assert_nobody_got_more(outcomes: Counter[tuple[int, Outcome]], accounts: list[int], calls: int) -> None:
    expected = Counter({(account, Outcome.ADMITTED): 1 for account in accounts})
    expected.update({(account, Outcome.REFUSED): calls - 1 for account in accounts})
    assert outcomes == expected
    drain.drain()
    assert set(WindowUsage.objects.values_list("tokens", flat=True)) == {USED + LEFT}


@pytest.mark.parametrize("warm", [False, True], ids=["new processes", "running processes"])
def test_at_most_one_look_an_account_and_no_second_quota(accounts: list[int], warm: bool) -> None:
    forget_everything()
    if warm:
        for account in accounts:
            admit.admit(Caller(account), lambda _: ChargeRequest())
        client().flushall()
    reads = Reads()
    began = time.monotonic()
    outcomes = touch_all((account for account in accounts for _ in range(CALLS)), reads)
    print(f"{len(accounts)} accounts, {sum(reads.of.values())} looks, {time.monotonic() - began:.1f} s")
    assert reads.of == Counter(accounts)
    assert_nobody_got_more(outcomes, accounts, CALLS)


def test_a_herd_on_one_account_looks_once(accounts: list[int]) -> None:
    """Flushed again and again, with every thread on the same account."""
    forget_everything()  # facts that were read while the subscription was opened are read again, and told again
    reads, herd = Reads(), accounts[0]
    for _ in range(20):
        client().flushall()
        reads.of.clear()
        touch_all([herd] * (THREADS * 2), reads)
        drain.drain()
        assert reads.of == {herd: 1}
    assert WindowUsage.objects.get(account_id=herd).tokens == USED + LEFT
