"""Several senders, the drain, calls with and without Redis, and voids at the same moment: each event counts once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections, transaction
from django.utils import timezone

from billing.fence import push
from billing.models import LimitOverride
from billing.rules.ids import mint
from billing.rules.instants import to_ms
from tests.cast import Customer, call
from tests.usage.histories import in_redis_now, sums
from tests.usage.ingest.reporting import accepted, reported
from tests.usage.metering.reservations.held import nothing_drifts
from usage.drain import drain
from usage.ingest.record import ingest
from usage.ingest.reported import Ingested
from usage.log.events import Event
from usage.log.store import record_without_redis
from usage.models import ReceivedEvent

pytestmark = pytest.mark.django_db(transaction=True)
SENDERS, BATCHES, EVENTS = 6, 8, 60


@pytest.fixture
def crowd(customer: Callable[..., Customer]) -> list[Customer]:
    """Each on enterprise, in different shards."""
    return [customer(f"c{n}", "enterprise") for n in range(12)]


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    begin = threading.Barrier(count)

    def one(number: int) -> object:
        try:
            begin.wait()
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_the_same_events_in_any_order_from_many_senders(crowd: list[Customer]) -> None:
    now = timezone.now()
    events = [reported(each.account, now, f"e{n}") for n in range(BATCHES * EVENTS // 12) for each in crowd]

    def send(number: int) -> list[Ingested]:
        mine = random.Random(number).sample(events, len(events))
        return [ingest(mine[at : at + EVENTS], "", now) for at in range(0, len(mine), EVENTS)]

    sent = in_threads(SENDERS, send)
    done = [each for of_one in sent for each in of_one]  # type: ignore[attr-defined]
    assert accepted(done) == len(events) == ReceivedEvent.objects.count()
    assert sum(each.duplicates for each in done) == (SENDERS - 1) * len(events)
    for each in crowd:
        assert sums(each.account) == {len(events) // 12 * 10}


def test_beside_everybody_else_who_moves_the_same_sums(crowd: list[Customer]) -> None:
    """Nobody waits for another in a circle, and the laws hold afterwards."""
    now = timezone.now()
    window = call(crowd[0]).snapshot.entitlement.window
    counted: list[int] = []  # tokens; appending is atomic

    def report(number: int) -> None:
        chance = random.Random(number)
        for _ in range(BATCHES):
            done = ingest([reported(chance.choice(crowd).account, now) for _ in range(EVENTS)], "", now)
            assert done.accepted == EVENTS
            counted.append(EVENTS * 10)

    def call_and_void(number: int) -> None:
        chance = random.Random(number)
        for _ in range(BATCHES * 5):
            admission = call(chance.choice(crowd), "risk_score")
            assert admission.admitted
            counted.append(2)

    def charge_without_redis(number: int) -> None:
        chance = random.Random(number)
        for _ in range(BATCHES * 2):
            chosen, at_ms = chance.sample(crowd, 4), to_ms(timezone.now())
            ends = [int(edge.timestamp()) for edge in (window.start, window.end)]
            with transaction.atomic():
                record_without_redis([Event(mint(at_ms), "charge", c.account, *ends, "x", 3, at_ms) for c in chosen])
            push.push(each.account for each in chosen)
            counted.append(12)

    def drain_all(_: int) -> None:
        for _ in range(BATCHES * 3):
            drain.drain()

    def edit(number: int) -> None:
        """Facts of the accounts are changed all the time."""
        for maximum in range(BATCHES * 2):
            user = crowd[maximum % len(crowd)].user
            LimitOverride.objects.update_or_create(account=user, limit="quota", defaults={"maximum": 10**6 + maximum})

    work = [report, report, report, call_and_void, call_and_void, charge_without_redis, drain_all, edit]
    in_threads(len(work), lambda number: work[number](number))
    drain.drain()
    totals = [sums(each.account) for each in crowd]
    assert all(len(total) == 1 for total in totals)
    assert sum(max(total) for total in totals) == sum(counted)
    for each, total in zip(crowd, totals, strict=True):
        assert call(each).quota.used == max(total)
        assert in_redis_now(each, to_ms(timezone.now())) == max(total)
    assert nothing_drifts()
