"""The drain: each event exactly once, whatever arrives twice, early, unreadable, or while it dies."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection, connections

from ratelimit import counters, limiter
from ratelimit.keys import stream
from ratelimit.store import client, store
from tests.cast import Customer
from tests.conftest import forget_everything
from tests.usage.histories import APRIL, MARCH, admit, charge, in_redis_now, put, sums
from usage.drain import batch, drain
from usage.log import store as log_store
from usage.log.rows import event_of
from usage.metering import voiding
from usage.models import SetAsideEntry, UsageLog, WindowUsage

pytestmark = pytest.mark.django_db


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_every_call_arrives_once_and_redis_is_told(bob: Customer) -> None:
    for _ in range(3):
        admit(bob)
    assert drain.backlog() == {bob.account % 64: 3}
    assert drain.drain() == drain.Drained(3, 0)
    assert (drain.backlog(), drain.drain()) == ({}, drain.Drained(0, 0))
    assert (sums(bob.account), in_redis_now(bob, now_ms())) == ({30}, 30)


def test_an_entry_delivered_twice_is_one(bob: Customer) -> None:
    event = charge(bob.account)
    put(event, event, shard=bob.account % 64)
    assert drain.drain().entries == 2
    assert sums(bob.account) == {10}


def test_a_void_that_arrives_first(bob: Customer) -> None:
    event = charge(bob.account)
    put(event.voided(event.at_ms), shard=bob.account % 64)
    drain.drain()
    assert sums(bob.account) == {0}
    put(event, shard=bob.account % 64)
    drain.drain()
    assert sums(bob.account) == {0}
    assert UsageLog.objects.count() == 2


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"null",
        b"{}",
        b"[]",
        b"[2]",
        b"\xff\xfe",
        b"[" * 10_000,
        b'[1,"x","charge",1,1,2,"f",1,1,"gateway","",null]',
        charge(1).encode().replace(b'"charge"', b'"gift"'),
        charge(1).encode().replace(b",10,", b",1e400,"),
        charge(1).encode().replace(b",10,", b",10.5,"),
        charge(1).encode().replace(b"null", b'{"a":NaN}'),
        charge(1).encode().replace(b"null", rb'{"a":"\u0000"}'),
        charge(1).encode().replace(b"null", rb'{"a":"\ud800"}'),
        charge(1).encode().replace(b"null", b'"text"'),
        charge(1).encode().replace(b'"gateway"', b'"%s"' % (b"x" * 60)),
        charge(1).encode().replace(b'"gateway"', b"5"),
        charge(1).encode().replace(b'"gateway"', b'["gateway"]'),
        charge(1).encode().replace(b'"charge"', b"[]"),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_stops_nobody(bob: Customer, payload: bytes) -> None:
    shard = bob.account % 64
    put(charge(bob.account), payload, charge(bob.account), shard=shard)
    assert drain.drain() == drain.Drained(3, 1)
    (aside,) = SetAsideEntry.objects.all()
    assert (bytes(aside.payload), aside.shard) == (payload, shard)
    assert aside.error
    assert (sums(bob.account), drain.backlog()) == ({20}, {})


def test_poison_in_one_part_of_a_batch_changes_nothing_in_the_others(
    bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "READ_AT_ONCE", 3)
    shard, ancient = bob.account % 64, charge(bob.account, at_ms=1)
    some = [charge(bob.account, 1) for _ in range(9)]
    void = some[1].voided(some[1].at_ms)
    put(*some[:4], b"],[", some[4], void, *some[5:7], ancient, b"[" + some[7].encode() + b"]", *some[7:], shard=shard)
    assert drain.drain() == drain.Drained(13, 3)
    assert {bytes(aside.payload) for aside in SetAsideEntry.objects.all()} == {
        b"],[",
        ancient.encode(),
        b"[" + some[7].encode() + b"]",
    }
    assert (sums(bob.account), drain.backlog(), UsageLog.objects.count()) == ({8}, {}, 10)


@pytest.mark.parametrize("again", [0, 3, 8])
def test_what_is_in_the_log_already_is_met_at_any_place_of_a_batch(
    bob: Customer, monkeypatch: pytest.MonkeyPatch, again: int
) -> None:
    monkeypatch.setattr(batch, "READ_AT_ONCE", 2)
    shard, some = bob.account % 64, [charge(bob.account, 1) for _ in range(9)]
    put(some[again], shard=shard)
    drain.drain()
    put(*some, some[again], some[5].voided(some[5].at_ms), shard=shard)
    assert drain.drain() == drain.Drained(11, 0)
    assert (sums(bob.account), UsageLog.objects.count()) == ({8}, 10)


def test_an_entry_without_the_field_is_set_aside_too(bob: Customer) -> None:
    client().xadd(stream(1), {"other": "field"})
    assert drain.drain_shards([1]) == drain.Drained(1, 1)


def test_a_missing_partition_is_made(bob: Customer) -> None:
    for year in (2045, 2046):
        at_ms = int(datetime(year, 6, 30, 23, 59, 59, tzinfo=UTC).timestamp()) * 1000
        put(charge(bob.account, at_ms=at_ms), shard=bob.account % 64)
    assert drain.drain() == drain.Drained(2, 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_usagelog_2045_06")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("entries", [6, 7, 8, 14, 15])
def test_more_than_a_batch(bob: Customer, monkeypatch: pytest.MonkeyPatch, entries: int) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put(*(charge(bob.account, 1) for _ in range(entries)), shard=bob.account % 64)
    assert drain.drain().entries == entries
    assert (sums(bob.account), drain.backlog()) == ({entries}, {})


class TestDying:
    """Between any two steps; what comes after finds everything again."""

    def test_between_commit_and_acknowledgement(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        admit(bob)
        admit(bob)

        def die(*_: Any) -> int:
            raise KeyboardInterrupt

        with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
            dying.setattr(counters, "acknowledge_head", die)
            drain.drain()
        assert (sums(bob.account), drain.backlog()) == ({20}, {bob.account % 64: 2})
        assert in_redis_now(bob, now_ms()) == 20
        admit(bob)
        assert drain.drain().entries == 3
        assert (sums(bob.account), in_redis_now(bob, now_ms())) == ({30}, 30)

    def test_before_commit(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        admit(bob)

        def die(_: Any) -> list[Any]:
            raise OperationalError("the server closed the connection")

        with monkeypatch.context() as dying, pytest.raises(OperationalError):
            dying.setattr(log_store, "store_parts", die)
            drain.drain()
        assert (sums(bob.account), drain.backlog()) == ({0}, {bob.account % 64: 1})
        drain.drain()
        assert (sums(bob.account), in_redis_now(bob, now_ms())) == ({10}, 10)

    def test_an_old_telling_replaces_no_newer_one(self, bob: Customer) -> None:
        """A drain that was paused after its commit acknowledges after another one has done more."""
        shard = bob.account % 64
        late = charge(bob.account)
        put(late, shard=shard)
        entries = client().xrange(stream(shard))
        (counter,) = log_store.store([late]).counters
        put(charge(bob.account, 5), shard=shard)
        drain.drain()
        keys = limiter.AccountKeys(bob.account)
        told = counters.Counter(keys.quota(MARCH * 1000), counter.tokens, counter.revision, APRIL * 1000)
        counters.acknowledge(store(), stream(shard).encode(), [told], [counters.Entry(entries[0][0], 0, late.tokens)])
        assert client().hget(keys.quota(MARCH * 1000), "l") == b"15"


class TestCatchingUp:
    def test_it_waits_for_no_entry_that_came_later(self, bob: Customer) -> None:
        admit(bob)
        drain.catch_up(bob.account)
        assert sums(bob.account) == {10}

    def test_an_empty_stream_is_caught_up(self, bob: Customer) -> None:
        drain.catch_up(bob.account)

    def test_a_drain_that_never_comes_ends_the_wait(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        admit(bob)
        monkeypatch.setattr(drain, "CATCH_UP_SECONDS", 0.0)
        monkeypatch.setattr(batch, "BATCH", 0)
        with pytest.raises(drain.Behind, match="drain_usage"):
            drain.catch_up(bob.account)


def test_an_event_becomes_a_row_and_an_event_again(bob: Customer) -> None:
    admission = admit(bob, source="track")
    drain.drain()
    assert event_of(UsageLog.objects.get()) == admission.event


def test_what_redis_never_saw_is_recorded_and_told(bob: Customer) -> None:
    admit(bob)
    drain.drain()
    event = admit(bob).event
    assert event is not None
    forget_everything()
    log_store.record_without_redis([event])
    assert sums(bob.account) == {20}
    assert admit(bob).quota.used == 30


def test_the_age_of_the_oldest_entry(bob: Customer) -> None:
    assert drain.lag_seconds(now_ms()) == 0
    client().xadd(stream(3), {"e": b"x"}, id="1000-0")
    client().xadd(stream(4), {"e": b"x"}, id="3000-0")
    assert drain.lag_seconds(5_500) == 4.5
    assert drain.lag_seconds(500) == 0


@pytest.mark.django_db(transaction=True)
def test_two_drains_at_once_on_one_shard_are_one(bob: Customer) -> None:
    put(*(charge(bob.account, 1) for _ in range(300)), shard=bob.account % 64)

    def drain_all(_: int) -> int:
        try:
            return drain.drain().entries
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        entries = list(threads.map(drain_all, range(6)))
    assert sum(entries) == 300
    assert max(entries) == 300, "the others left the shard to the first"
    assert (sums(bob.account), drain.backlog()) == ({300}, {})


@pytest.mark.django_db(transaction=True)
def test_calls_voids_and_drains_at_once_come_out_even(erin: Customer) -> None:
    def call(number: int) -> int:
        try:
            admission = admit(erin)
            if number % 3 == 0:
                voiding.void_failed_call(admission)
            if number % 4 == 0:
                drain.drain()
            return 0 if number % 3 == 0 else 10
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        standing = sum(threads.map(call, range(60)))
    drain.drain()
    assert (sums(erin.account), in_redis_now(erin, now_ms())) == ({standing}, standing)
    assert WindowUsage.objects.get().tokens == standing == 400
