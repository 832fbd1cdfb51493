"""PostgreSQL's memory of Idempotency-Keys: what the drain brings, what a void frees, what Redis is given again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ratelimit import counters
from ratelimit.keys import AccountKeys
from ratelimit.limits import Outcome
from ratelimit.scripts import MOST_RERUNS
from ratelimit.store import client, store
from tests.cast import Customer
from tests.outages import no_redis
from tests.usage.histories import MARCH, admit, charge, sums
from tests.usage.log.keys import ACCOUNT, ANSWER, KEY, buy, drained, fail, held, keyed, serve
from usage.drain import drain
from usage.log.idempotency import key_records, keyed_charges
from usage.log.idempotency.key_records import State, state_of
from usage.log.store import record_without_redis
from usage.metering import kept_answers, voiding
from usage.models import IdempotencyRecord
from usage.sync import outage

pytestmark = pytest.mark.django_db
AT = datetime.fromtimestamp(MARCH, UTC)
LIFE = timedelta(seconds=60)
"""LONGEST_REQUEST_SECONDS."""


def restore(account: int, now: datetime = AT) -> None:
    counters.restore(store(), AccountKeys(account), key_records.to_restore(account, now))


class TestDrained:
    def test_a_charge_opens_it_for_a_day(self) -> None:
        event = keyed()
        drained(event, charge(ACCOUNT))
        record = IdempotencyRecord.objects.get()
        assert (record.account_id, record.key, record.fingerprint, str(record.event_id)) == (
            ACCOUNT,
            KEY,
            "f" * 32,
            event.charge,
        )
        assert bytes(record.audit) == event.encode()
        assert record.in_flight_until == AT + LIFE + timedelta(milliseconds=5)
        assert record.expires_at == AT + timedelta(days=1, milliseconds=5)

    @pytest.mark.parametrize("together", [True, False])
    def test_a_void_frees_the_key(self, together: bool) -> None:
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

    def test_delivered_twice_it_does_not_come_back(self) -> None:
        event = keyed()
        record_without_redis([event.voided(MARCH * 1000 + 6)])
        drained(event)
        assert held() == set()

    def test_the_later_charge_keeps_the_key(self) -> None:
        """The earlier one arrives late: it was made before Redis was lost, and the key was charged again without it."""
        earlier, later = keyed(), keyed(MARCH * 1000 + 9)
        assert keyed_charges.open_one(later, AT)
        drained(earlier)
        assert held() == {later.charge}


def a_record(**fields: Any) -> IdempotencyRecord:
    return IdempotencyRecord(account_id=ACCOUNT, key=KEY, fingerprint="f", **fields)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"in_flight_until": AT + timedelta(milliseconds=1)}, State.IN_FLIGHT),
        ({"in_flight_until": AT}, State.UNANSWERED),
        ({}, State.UNANSWERED),
        ({"reruns": MOST_RERUNS - 1}, State.UNANSWERED),
        ({"reruns": MOST_RERUNS}, State.EXHAUSTED),
        ({"answer_head": b"200 ", "reruns": MOST_RERUNS}, State.ANSWERED),
        ({"answer_head": b"200 ", "in_flight_until": AT + LIFE}, State.IN_FLIGHT),
    ],
)
def test_what_a_call_under_a_known_key_has_to_do(fields: dict[str, Any], state: State) -> None:
    assert state_of(a_record(**fields), "f", AT) is state
    assert state_of(a_record(**fields), "another", AT) is State.OTHER_REQUEST


@pytest.mark.parametrize(("seconds", "free"), [(-1, False), (0, True), (1, True)])
def test_a_key_is_free_again_after_a_day(seconds: int, free: bool) -> None:
    event = keyed()
    assert keyed_charges.open_one(event, AT)
    later = AT + timedelta(days=1, milliseconds=5, seconds=seconds)
    assert (key_records.find(ACCOUNT, KEY, later) is None) is free
    assert keyed_charges.open_one(keyed(MARCH * 1000 + 9), later) is free


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_purging_leaves_the_live_ones(batch: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(key_records, "PURGE_BATCH", batch)
    events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
    for event in events:
        keyed_charges.open_one(event, AT)
    assert key_records.purge(AT + timedelta(days=1, milliseconds=2)) == 3
    assert held() == {events[3].charge}


class TestRestored:
    def test_redis_gets_the_newest_and_not_more_than_it_can_take(self, monkeypatch: Any) -> None:
        monkeypatch.setattr(key_records, "MOST_RESTORED", 2)
        events = [keyed(MARCH * 1000 + offset, key=f"{offset:032}") for offset in range(4)]
        for event in events:
            keyed_charges.open_one(event, AT)
        restore(ACCOUNT)
        restore(ACCOUNT + 64)
        keys = AccountKeys(ACCOUNT)
        assert [client().exists(keys.record(event.key)) for event in events] == [0, 0, 1, 1]

    def test_a_released_key_is_freed_in_redis(self, bob: Customer, settings: Any) -> None:
        call = buy(bob)
        drain.drain()
        with no_redis(settings):
            voiding.void_failed_call(call)
        again = buy(bob)
        assert (again.charged, again.replayed) == (True, False)


class TestWithoutRedis:
    """The same rule while PostgreSQL decides."""

    @pytest.fixture(autouse=True)
    def without(self, settings: Any) -> Iterator[None]:
        with no_redis(settings):
            yield

    def test_one_that_is_in_flight_holds_the_key(self, bob: Customer) -> None:
        first, second = buy(bob), buy(bob)
        assert (first.decision.outcome, second.decision.outcome) == (Outcome.ADMITTED, Outcome.IN_PROGRESS)
        assert (second.admitted, second.cost, sums(bob.account)) == (False, 0, {10})

    def test_its_answer_is_given_again(self, bob: Customer) -> None:
        first = buy(bob)
        serve(first)
        again = buy(bob)
        assert (again.answer, again.admitted, again.replayed) == (ANSWER, False, True)
        assert again.decision.event == first.decision.event
        assert sums(bob.account) == {10}

    def test_without_an_answer_it_runs_again_a_few_times(self, bob: Customer) -> None:
        kept_answers.keep(buy(bob), None)
        for _ in range(MOST_RERUNS):
            rerun = buy(bob)
            assert (rerun.decision.outcome, rerun.admitted, rerun.cost) == (Outcome.RERUN, True, 0)
            fail(rerun)
        assert buy(bob).decision.outcome is Outcome.EXHAUSTED
        assert sums(bob.account) == {10}

    def test_a_failed_call_frees_its_key(self, bob: Customer) -> None:
        fail(buy(bob))
        assert sums(bob.account) == {0}
        assert buy(bob).charged
        assert sums(bob.account) == {10}

    def test_another_request_conflicts(self, bob: Customer) -> None:
        buy(bob)
        other = admit(bob, idempotency_key="k", fingerprint=b"g" * 32)  # type: ignore[arg-type]
        assert other.decision.outcome is Outcome.CONFLICT


class TestRedisLacksTheAnswer:
    def test_that_postgresql_has_is_given_and_kept_in_redis(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            serve(buy(bob))
        assert outage.breaker.attempt()
        for _ in range(2):
            again = buy(bob)
            assert (again.answer, again.by_redis) == (ANSWER, True)
        assert sums(bob.account) == {10}

    def test_of_a_charge_that_was_voided_elsewhere_the_call_is_charged_anew(self, bob: Customer) -> None:
        first = buy(bob)
        kept_answers.keep(first, None)
        drain.drain()
        assert first.event is not None
        record_without_redis([first.event.voided(first.event.at_ms)])
        assert buy(bob).charged
        drain.drain()
        assert sums(bob.account) == {10}
