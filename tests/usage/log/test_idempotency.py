"""PostgreSQL's memory of Idempotency-Keys: what the drain brings, what a void frees, what Redis is told again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction

from ratelimit import limiter
from ratelimit.keys import AccountKeys, receipt_digest
from ratelimit.store import RedisUnreachable, client, store
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.cast import Customer
from tests.outages import lost_replies, no_redis
from tests.usage.histories import MARCH, admit, charge, put, sums
from usage.drain import drain
from usage.log import idempotency
from usage.log.events import Event
from usage.log.store import record
from usage.metering import fallback, voiding
from usage.metering.admission import Admission
from usage.models import Receipt
from usage.sync import outage

pytestmark = pytest.mark.django_db
ACCOUNT = 7
KEY = receipt_digest("k")
AT = datetime.fromtimestamp(MARCH, UTC)


def keyed(at_ms: int = MARCH * 1000 + 5, key: str = KEY) -> Event:
    return charge(ACCOUNT, at_ms=at_ms)._replace(receipt=key, fingerprint="f" * 32)


def drained(*events: Event) -> None:
    put(*events, shard=ACCOUNT)
    drain.drain()


def held() -> set[str]:
    return {str(receipt.event_id) for receipt in Receipt.objects.all()}


def recall(account: int, now: datetime = AT) -> int:
    return idempotency.recall(account, now, partial(limiter.recall, store(), AccountKeys(account)))


def test_a_drained_charge_opens_it_for_a_day() -> None:
    event = keyed()
    drained(event, charge(ACCOUNT))
    receipt = Receipt.objects.get()
    assert (receipt.account_id, receipt.key, receipt.fingerprint, receipt.runs) == (ACCOUNT, KEY, "f" * 32, 0)
    assert (str(receipt.event_id), receipt.redis_charges) == (event.charge, [event.id])
    assert bytes(receipt.audit) == event.encode()
    assert receipt.expires_at == AT + timedelta(days=1, milliseconds=5)


@pytest.mark.parametrize("together", [True, False])
def test_a_void_frees_the_key(together: bool) -> None:
    first, second = keyed(), keyed(MARCH * 1000 + 9)
    history = [first, first.voided(MARCH * 1000 + 6), second]
    if together:
        drained(*history)
    else:
        for event in history:
            drained(event)
    assert held() == {second.charge}
    drained(second.voided(MARCH * 1000 + 10))
    assert held() == set()


def test_delivered_twice_it_does_not_come_back() -> None:
    event = keyed()
    record([event.voided(MARCH * 1000 + 6)])
    drained(event)
    assert held() == set()


def test_the_later_charge_keeps_the_key() -> None:
    """The earlier one arrives late: it was made before Redis was lost, and the key was sold again without it."""
    earlier, later = keyed(), keyed(MARCH * 1000 + 9)
    assert idempotency.open_one(later, AT, in_doubt=False)
    drained(earlier)
    assert held() == {later.charge}


@pytest.mark.parametrize(("seconds", "free"), [(-1, False), (0, True), (1, True)])
def test_a_key_is_free_again_after_a_day(seconds: int, free: bool) -> None:
    event = keyed()
    assert idempotency.open_one(event, AT, in_doubt=False)
    later = AT + timedelta(days=1, milliseconds=5, seconds=seconds)
    assert (idempotency.find(ACCOUNT, KEY, later) is None) is free
    assert idempotency.open_one(keyed(MARCH * 1000 + 9), later, in_doubt=False) is free


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_purging_leaves_the_live_ones(batch: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(idempotency, "PURGE_BATCH", batch)
    events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
    for event in events:
        idempotency.open_one(event, AT, in_doubt=False)
    assert idempotency.purge(AT + timedelta(days=1, milliseconds=2)) == 3
    assert held() == {events[3].charge}


def test_redis_is_told_the_newest_and_not_more_than_it_can_take(bob: Customer, monkeypatch: Any) -> None:
    monkeypatch.setattr(idempotency, "MOST_RECALLED", 2)
    events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
    for event in events:
        idempotency.open_one(event, AT, in_doubt=False)
    assert recall(ACCOUNT) == 2
    keys = AccountKeys(ACCOUNT)
    assert [client().exists(keys.receipt_of(event.receipt)) for event in events] == [0, 0, 1, 1]
    assert recall(ACCOUNT) == 0
    assert recall(ACCOUNT + 64) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("failing", [True, False])
def test_what_ends_while_it_is_recalled_is_not_told(failing: bool) -> None:
    """Its last run was decided without Redis, and fails when it was read and not marked yet."""
    event = keyed()
    idempotency.open_one(event, AT, in_doubt=False)

    def recall_elsewhere() -> int:
        try:
            return recall(ACCOUNT)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic():
            if failing:
                assert idempotency.fail(event) is idempotency.Failed.FREE
            else:
                assert idempotency.find(ACCOUNT, KEY, AT)
            recalling = thread.submit(recall_elsewhere)
            until(somebody_waits_for_a_row)
        told = recalling.result()
    assert (told, client().exists(AccountKeys(ACCOUNT).receipt_of(KEY))) == ((0, 0) if failing else (1, 1))


class TestOneKeyOnBothSides:
    """Some processes reach Redis and others do not: a served call is charged, and one that failed everywhere is not."""

    @pytest.fixture(autouse=True)
    def without(self, settings: Any) -> None:
        self.settings = settings

    @contextmanager
    def another_process(self) -> Iterator[None]:
        """That has lost Redis; the one around it has not."""
        with no_redis(self.settings):
            yield
        outage.forget_everything()

    def buy(self, bob: Customer) -> Admission:
        return admit(bob, idempotency_key="k", fingerprint=b"f")  # type: ignore[arg-type]

    def fail(self, *runs: Admission) -> None:
        for run in runs:
            voiding.void_failed_call(run)

    @pytest.mark.parametrize(("replay_fails", "charged"), [(False, 10), (True, 0)])
    @pytest.mark.parametrize("delivered", [1, 2])
    def test_a_replay_while_a_void_waits(self, bob: Customer, replay_fails: bool, charged: int, delivered: int) -> None:
        failed = self.buy(bob)
        drain.drain()
        self.fail(failed)
        assert failed.event is not None
        with self.another_process():
            replay = self.buy(bob)
        assert replay.replayed
        for _ in range(delivered):
            put(failed.event.voided(failed.event.at_ms), shard=bob.account % 64)
            drain.drain()
        assert sums(bob.account) == {10}
        if replay_fails:
            with self.another_process():
                self.fail(replay)
        drain.drain()
        assert sums(bob.account) == {charged}

    @pytest.mark.parametrize("redis_is_back", [False, True])
    @pytest.mark.parametrize(("failing", "charged"), [("", 10), ("1", 10), ("2", 10), ("12", 0), ("21", 0)])
    def test_a_charge_by_either_side(self, bob: Customer, failing: str, charged: int, redis_is_back: bool) -> None:
        by_redis = self.buy(bob)
        with self.another_process():
            without = self.buy(bob)
        assert not without.replayed, "nobody there knew of the first"
        drain.drain()
        assert sums(bob.account) == {10}
        for run in failing:
            if run == "1" or redis_is_back:
                self.fail(by_redis if run == "1" else without)
            else:
                with self.another_process():
                    self.fail(without)
            drain.drain()
        assert sums(bob.account) == {charged}

    @pytest.mark.parametrize(
        ("failing", "stands"), [("", True), ("1", True), ("2", True), ("12", False), ("21", False)]
    )
    def test_a_key_bought_without_redis_and_replayed_by_it(self, bob: Customer, failing: str, stands: bool) -> None:
        with self.another_process():
            runs = {"1": self.buy(bob)}
        recall(bob.account, runs["1"].decided_at)
        runs["2"] = self.buy(bob)
        assert runs["2"].replayed
        for run in failing:
            self.fail(runs[run])
            drain.drain()
        later = self.buy(bob)
        drain.drain()
        assert later.replayed is stands
        assert sums(bob.account) == {10}

    def test_a_replay_that_failed_elsewhere_takes_nothing_from_redis_run(self, bob: Customer) -> None:
        self.buy(bob)
        drain.drain()
        with self.another_process():
            replay = self.buy(bob)
            self.fail(replay)
        assert outage.breaker.attempt()
        voiding.pay_what_is_owed()
        drain.drain()
        assert sums(bob.account) == {10}

    @pytest.mark.parametrize("executed", [True, False])
    @pytest.mark.parametrize(("replayed", "charged"), [(True, 10), (False, 0)])
    def test_redis_was_asked_in_vain_and_the_run_fails(
        self, bob: Customer, executed: bool, replayed: bool, charged: int, monkeypatch: Any
    ) -> None:
        """Whether Redis has sold the key by then is known to nobody here."""
        admit(bob)  # it knows the account
        with lost_replies(monkeypatch) if executed else no_redis(self.settings):
            run = self.buy(bob)
            assert not run.by_redis
        outage.breaker.reset()
        if replayed and executed:
            assert self.buy(bob).replayed
        elif replayed:
            with self.another_process():
                assert self.buy(bob).replayed
        outage.breaker.trip(RedisUnreachable("gone"))
        self.fail(run)
        assert outage.breaker.attempt()
        drain.drain()
        assert sums(bob.account) == {charged + 10}

    def test_recalled_and_failed_where_redis_is_gone_it_stands(self, bob: Customer) -> None:
        """Whether Redis has served it again is not known there."""
        with self.another_process():
            run = self.buy(bob)
        recall(bob.account, run.decided_at)
        assert self.buy(bob).replayed
        with self.another_process():
            self.fail(run)
        drain.drain()
        assert sums(bob.account) == {10}

    def test_what_was_refused_here_is_replayed_by_nobody(self, bob: Customer, carol: Customer) -> None:
        """Redis had charged it when its answer was lost. One drain brings charges of several shards."""
        for customer in (bob, carol):
            refused = self.buy(customer)
            assert refused.event is not None
            fallback.record_refusal(refused.event)
        drain.drain()
        for customer in (bob, carol):
            assert not self.buy(customer).replayed
        drain.drain()
        assert (sums(bob.account), sums(carol.account)) == ({10}, {10})
