"""What others do while a call is decided delays it, and never makes it fail: the end of an outage, edits in a burst."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.models import LimitOverride
from ratelimit.servers.single import RedisUnreachable
from tests.cast import Customer
from tests.usage.histories import admit, sums
from usage.drain import drain
from usage.models import RedisOutage
from usage.sync import outage

pytestmark = pytest.mark.django_db(transaction=True)
GONE = RedisUnreachable("no answer")


def at_once(*works: Any) -> list[Any]:
    """All of them at the same time, each with a connection of its own, as threads of the web server have."""

    def apart(work: Any) -> Any:
        try:
            return work()
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result() for done in [pool.submit(apart, work) for work in works]]


def test_redis_is_lost_and_found_by_many_again_and_again(erin: Customer) -> None:
    """Other processes end every outage at once, while the threads of this one begin new ones."""
    admit(erin)
    stop = threading.Event()

    def another_process() -> None:
        while not stop.is_set():
            outage.recover()
        connections["default"].close()

    def calls() -> int:
        for number in range(24):
            if number % 4 == 0:
                outage.breaker.trip(GONE)
            assert admit(erin).charged
        return 24

    others = [threading.Thread(target=another_process) for _ in range(3)]
    for other in others:
        other.start()
    try:
        charged = sum(at_once(*[calls] * 6))
    finally:
        stop.set()
        for other in others:
            other.join(60)
    assert outage.breaker.attempt()
    drain.drain()
    assert sums(erin.account) == {10 * (charged + 1)}


def test_a_call_waits_for_the_thread_that_recovers_and_is_decided_by_redis(
    bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(bob)
    outage.enter(timezone.now())
    outage.breaker.trip(GONE)
    RedisOutage.objects.update(ended_at=timezone.now())  # another process has found it well
    recovering, may_go_on = threading.Event(), threading.Event()
    real = outage.breaker._recover

    def recover() -> None:
        recovering.set()
        assert may_go_on.wait(30)
        real()

    monkeypatch.setattr(outage.breaker, "_recover", recover)
    prober = threading.Thread(target=outage.breaker.attempt)
    prober.start()
    assert recovering.wait(30)
    threading.Timer(0.3, may_go_on.set).start()
    admission = at_once(lambda: admit(bob))[0]
    prober.join(30)
    assert admission.by_redis
    assert RedisOutage.objects.filter(ended_at=None).count() == 0, "it began no outage of its own"


def test_sixty_four_changes_of_one_account_at_once(erin: Customer) -> None:
    def edit() -> None:
        for _ in range(8):
            LimitOverride.objects.create(account=erin.user, limit="quota", maximum=10**6)

    def calls() -> bool:
        return all(admit(erin).charged for _ in range(10))

    assert all(at_once(*[edit] * 8, *[calls] * 8)[8:])
