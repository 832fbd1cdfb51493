"""Several shards' entries in one transaction: as many as fill a batch, each shard acknowledged by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import OperationalError

from ratelimit import counters
from tests.cast import Customer
from tests.usage.drain.test_drain import now_ms
from tests.usage.histories import admit, charge, in_redis, in_redis_now, put, sums
from tests.usage.sync.test_shard_locks import in_thread
from usage.drain import batch, drain
from usage.log import store as log_store
from usage.log.batch import EventBatch
from usage.models import SetAsideEntry, UsageLog
from usage.sync.shard_locks import draining

pytestmark = pytest.mark.django_db(transaction=True)
ONE, TWO, THREE = 64 + 1, 64 + 2, 64 + 3
"""Accounts of the shards 1, 2 and 3."""


def put_some(*numbers: int) -> None:
    for account, number in zip((ONE, TWO, THREE), numbers, strict=False):
        put(*(charge(account, 1) for _ in range(number)), shard=account % 64)


@pytest.mark.parametrize(
    ("waiting", "transactions"),
    [
        ((3, 3), 1),
        ((3, 4), 1),
        ((3, 5), 2),
        ((3, 3, 2), 2),
        ((7, 1), 2),
        ((1, 7), 2),
        ((6,), 1),
        ((7,), 1),
        ((8,), 2),
        ((15,), 3),
    ],
)
def test_shards_that_fill_a_batch_together_share_a_transaction(
    waiting: tuple[int, ...], transactions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put_some(*waiting)
    stored, store = list[Any](), log_store.store_parts

    def count(parts: Iterable[EventBatch]) -> log_store.Stored:
        stored.append(parts)
        return store(parts)

    monkeypatch.setattr(log_store, "store_parts", count)
    assert drain.drain() == drain.Drained(sum(waiting), 0)
    assert len(stored) == transactions
    assert (UsageLog.objects.count(), drain.backlog()) == (sum(waiting), {})
    for account, number in zip((ONE, TWO, THREE), waiting, strict=False):
        assert sums(account) == {number}


def test_one_batch_is_in_the_making_while_another_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put_some(5, 5)
    both, store = threading.Barrier(2, timeout=10), log_store.store_parts

    def meet(parts: Iterable[EventBatch]) -> log_store.Stored:
        both.wait()
        return store(parts)

    monkeypatch.setattr(log_store, "store_parts", meet)
    assert drain.drain() == drain.Drained(10, 0)
    assert (sums(ONE), sums(TWO), drain.backlog()) == ({5}, {5}, {})


def test_a_batch_that_fails_beside_another_waits_for_the_next_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put_some(5, 5)
    store = log_store.store_parts

    def fail_for_one(parts: Iterable[EventBatch]) -> log_store.Stored:
        some = [*parts]
        if some[0].accounts[0] == ONE:
            raise OperationalError
        return store(some)

    with monkeypatch.context() as failing, pytest.raises(OperationalError):
        failing.setattr(log_store, "store_parts", fail_for_one)
        drain.drain()
    assert (sums(TWO), drain.backlog()) == ({5}, {1: 5})
    assert drain.drain() == drain.Drained(5, 0)
    assert (sums(ONE), sums(TWO), drain.backlog()) == ({5}, {5}, {})


def test_who_is_stopped_waits_for_no_batch_that_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put_some(5, 5, 5)
    both, ending, store = threading.Barrier(2, timeout=10), threading.Event(), log_store.store_parts

    class Pool(ThreadPoolExecutor):
        def __exit__(self, *error: Any) -> None:
            ending.set()
            super().__exit__(*error)

    def interrupt(parts: Iterable[EventBatch]) -> log_store.Stored:
        if not ending.is_set():
            both.wait()
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        assert ending.wait(10)
        return store(parts)

    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr(log_store, "store_parts", interrupt)
        interrupted.setattr(drain, "ThreadPoolExecutor", Pool)
        drain.drain()
    assert sum(drain.backlog().values()) == 10


def test_what_has_come_since_the_backlog_was_looked_at_waits_for_the_next_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch, "BATCH", 7)
    put_some(5, 5, 5)
    assert drain.drain_shards([1, 2, 3]) == drain.Drained(15, 0)
    assert [sums(account) for account in (ONE, TWO, THREE)] == [{5}, {5}, {5}]
    assert drain.backlog() == {}


def test_poison_is_set_aside_from_its_own_shard() -> None:
    put_some(2, 2)
    put(b"poison", shard=2)
    assert drain.drain() == drain.Drained(5, 1)
    assert SetAsideEntry.objects.get().shard == 2
    assert (sums(ONE), sums(TWO), drain.backlog()) == ({2}, {2}, {})


def test_a_shard_that_another_drain_holds_is_left_to_it() -> None:
    put_some(2, 3, 4)
    with draining([2]):
        in_thread(drain.drain).join()
        assert drain.backlog() == {2: 3}
    assert drain.drain() == drain.Drained(3, 0)
    assert [sums(account) for account in (ONE, TWO, THREE)] == [{2}, {3}, {4}]


@pytest.mark.parametrize("acknowledged", [0, 1])
def test_a_drain_that_dies_between_two_shards_leaves_the_others_to_the_next(
    bob: Customer, carol: Customer, acknowledged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in (bob, carol, bob):
        admit(customer)
    trim, done = counters.acknowledge_head, list[Any]()

    def die(*arguments: Any) -> bool:
        if len(done) == acknowledged:
            raise KeyboardInterrupt
        done.append(arguments)
        return trim(*arguments)

    with monkeypatch.context() as dying, pytest.raises(KeyboardInterrupt):
        dying.setattr(counters, "acknowledge_head", die)
        drain.drain()
    assert len(drain.backlog()) == 2 - acknowledged
    assert (sums(bob.account), sums(carol.account)) == ({20}, {10})
    assert [in_redis_now(customer, now_ms()) for customer in (bob, carol)] == [20, 10], "told or pending, never both"
    drain.drain()
    assert (sums(bob.account), sums(carol.account), drain.backlog()) == ({20}, {10}, {})
    assert [in_redis_now(customer, now_ms()) for customer in (bob, carol)] == [20, 10]


@pytest.mark.parametrize("trimmed", [True, False])
def test_an_event_in_another_shard_than_its_accounts_moves_nothing_in_redis(
    bob: Customer, trimmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when RATELIMIT_SHARDS was changed before all was drained; init_redis_keys tells the counter afterwards."""
    if not trimmed:
        monkeypatch.setattr(counters, "acknowledge_head", lambda *_: False)
    event = charge(bob.account)
    put(event, shard=(bob.account + 1) % 64)
    assert drain.drain() == drain.Drained(1, 0)
    assert (sums(bob.account), drain.backlog()) == ({10}, {})
    assert in_redis(bob.account, event.window_start) == 0
