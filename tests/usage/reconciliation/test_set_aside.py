"""Entries set aside and tried again: each is counted once, and Redis stops calling their tokens pending."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from ratelimit.keys import shard_of, stream
from ratelimit.servers.single import RedisUnreachable, SingleServer
from ratelimit.store import client
from tests.cast import Customer
from tests.outages import no_redis
from tests.usage.drifting import compared, held, parts
from tests.usage.histories import MARCH, admit, charge, put, sums
from usage.drain import drain
from usage.log import batch, events
from usage.log.months import partitions
from usage.metering import voiding
from usage.models import SetAsideEntry, UsageLog
from usage.reconciliation import repair, set_aside
from usage.reconciliation.set_aside import Retried

pytestmark = pytest.mark.django_db


def retry() -> Retried:
    return set_aside.retry(SetAsideEntry.objects.all(), timezone.now())


def upgrade_the_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (events, batch):
        monkeypatch.setattr(module, "FORMAT", 2)


@pytest.fixture
def unreadable(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call charged by a later version than the drain's. Returns what upgrades the drain."""
    with monkeypatch.context() as later:
        later.setattr(events, "FORMAT", 2)
        admit(bob)
    assert drain.drain() == drain.Drained(1, 1)
    return lambda: upgrade_the_drain(monkeypatch)


def test_until_it_can_be_read_it_stays_and_its_tokens_are_held_against_the_quota(
    bob: Customer, unreadable: Any
) -> None:
    assert retry() == Retried(0, 1)
    assert (sums(bob.account), held(bob)) == ({0}, {b"p": b"10"})
    assert "format 2" in SetAsideEntry.objects.get().error
    found, report = compared()
    assert (parts(found), report.set_aside) == ({"Redis' pending"}, 1)


@pytest.mark.parametrize("repaired_before", [False, True])
def test_once_it_can_be_read_it_is_counted_and_pending_no_more(
    bob: Customer, unreadable: Any, repaired_before: bool
) -> None:
    if repaired_before:
        compared(repairing=True)
        assert held(bob)[b"p"] == b"0"
    unreadable()
    admit(bob)
    assert retry() == Retried(1, 0)
    assert (sums(bob.account), SetAsideEntry.objects.count()) == ({10}, 0)
    assert (held(bob)[b"l"], held(bob)[b"p"]) == (b"10", b"10")
    assert compared()[0] == []
    assert (admit(bob).quota.used, retry()) == (30, Retried(0, 0))
    drain.drain()
    assert (sums(bob.account), compared()[0]) == ({30}, [])


def test_the_same_entry_set_aside_again_is_counted_once(bob: Customer, unreadable: Any) -> None:
    payload = bytes(SetAsideEntry.objects.get().payload)
    put(payload, payload, shard=shard_of(bob.account))
    drain.drain()
    assert SetAsideEntry.objects.count() == 3
    unreadable()
    assert retry() == Retried(3, 0)
    assert (sums(bob.account), UsageLog.objects.count()) == ({10}, 1)
    assert compared()[0] == []


def test_a_void_set_aside_takes_its_charge_back(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    admission = admit(bob)
    with monkeypatch.context() as later:
        later.setattr(events, "FORMAT", 2)
        voiding.void_failed_call(admission)
    assert drain.drain() == drain.Drained(2, 1)
    assert (sums(bob.account), held(bob)[b"p"]) == ({10}, b"-10")
    upgrade_the_drain(monkeypatch)
    assert retry() == Retried(1, 0)
    assert (sums(bob.account), admit(bob).quota.used) == ({0}, 10)


def test_nonsense_stays_for_a_person(bob: Customer) -> None:
    client().xadd(stream(3), {"e": b"nonsense"})
    drain.drain()
    assert (retry(), retry()) == (Retried(0, 1), Retried(0, 1))
    assert SetAsideEntry.objects.get().payload == b"nonsense"


def test_what_the_log_does_not_take_any_more_stays(bob: Customer) -> None:
    event = charge(bob.account)
    SetAsideEntry.objects.create(shard=1, stream_id=f"{MARCH * 1000}-0", payload=event.encode(), error="format 1")
    partitions.close(datetime.fromtimestamp(MARCH, UTC))
    assert retry() == Retried(0, 1)
    assert "the usage log starts with 2031-04" in SetAsideEntry.objects.get().error
    assert sums(bob.account) == {0}


def test_without_redis_nothing_is_counted(bob: Customer, unreadable: Any, settings: Any) -> None:
    unreadable()
    with no_redis(settings), pytest.raises(RedisUnreachable):
        retry()
    assert (sums(bob.account), SetAsideEntry.objects.count()) == ({0}, 1)


def test_redis_lost_in_the_middle_is_made_good_by_a_repair(
    bob: Customer, unreadable: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable()
    nowhere = SingleServer("redis://127.0.0.1:1/0", 1.0)
    with monkeypatch.context() as lost, pytest.raises(RedisUnreachable):
        lost.setattr(repair, "store", lambda: nowhere)
        retry()
    assert (sums(bob.account), SetAsideEntry.objects.count()) == ({10}, 0)
    compared(repairing=True)
    assert (compared()[0], admit(bob).quota.used) == ([], 20)


@pytest.mark.django_db(transaction=True)
def test_several_retries_at_once_count_it_once(bob: Customer, unreadable: Any) -> None:
    unreadable()

    def run(_: int) -> int:
        try:
            return retry().counted
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(run, range(4))) == 1
    assert (sums(bob.account), held(bob)[b"l"], held(bob)[b"p"]) == ({10}, b"10", b"0")
