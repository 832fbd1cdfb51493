"""Charges whose end neither engine could be told: settled as soon as PostgreSQL answers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpResponse

from ratelimit.limits import Outcome
from tests.billing.waiting import until
from tests.cast import Customer
from tests.outages import SilentPostgres, lose_postgres, lost_replies, no_redis, silent_postgres
from tests.usage.histories import admit, in_redis, sums
from usage.drain import drain
from usage.log.events import CHARGE, Event
from usage.metering import kept_answers, unsettled, voiding
from usage.metering.admit import Admission, Unavailable
from usage.metering.admit import admit as decide
from usage.metering.call import ChargeRequest
from usage.sync import outage

__all__ = ["lose_postgres", "silent_postgres"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def by_hand(settings: Any) -> None:
    settings.REDIS_PROBE_MS = 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", ["", "k"])
def test_a_call_that_failed_while_neither_engine_answered(
    bob: Customer, key: str, settings: Any, lose_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admission = admit(bob, idempotency_key=key, fingerprint=b"f")  # type: ignore[arg-type]
    assert admission.event is not None
    with no_redis(settings):
        lose_postgres()
        voiding.void_failed_call(admission)
        assert not unsettled.settle()
    monkeypatch.undo()
    assert in_redis(bob.account, admission.event.window_start) == 10
    assert unsettled.settle()
    assert outage.breaker.attempt()
    drain.drain()
    assert sums(bob.account) == {0}
    assert admit(bob).quota.used == 10


def test_a_call_that_redis_charged_without_an_answer_while_postgresql_was_gone(
    bob: Customer, lose_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit(bob)
    with lost_replies(monkeypatch), monkeypatch.context() as gone, pytest.raises((OperationalError, Unavailable)):
        gone.setattr(outage, "enter", out_of_reach)
        admit(bob)
    assert unsettled.settle()
    assert outage.breaker.attempt()
    drain.drain()
    assert sums(bob.account) == {10}, "the first alone: nobody was served the second"


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("key", ["", "k"])
def test_a_call_whose_charge_postgresql_hangs_in_committing(
    bob: Customer, key: str, executed: bool, settings: Any, silent_postgres: SilentPostgres
) -> None:
    """Nobody knows whether it is committed, now or when PostgreSQL goes on: the call is 503, and is not charged."""
    admit(bob)
    drain.drain()
    with no_redis(settings):
        admit(bob)
        silent_postgres.hang_at(b"COMMIT", executed=executed)
        with pytest.raises(OperationalError):
            admit(bob, idempotency_key=key, fingerprint=b"f")  # type: ignore[arg-type]
        assert not unsettled.settle()
        silent_postgres.resume()
        until(unsettled.settle)
        assert sums(bob.account) == {20}
    assert outage.breaker.attempt()
    drain.drain()
    assert admit(bob, idempotency_key=key, fingerprint=b"f").charged  # type: ignore[arg-type]
    drain.drain()
    assert sums(bob.account) == {30}


def test_what_was_not_to_be_committed_yet_leaves_nothing_to_settle(
    bob: Customer, settings: Any, lose_postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or an outage of both would leave a row for every call that it refuses."""
    admit(bob)
    with no_redis(settings):
        lose_postgres()
        with pytest.raises(OperationalError):
            admit(bob)
    assert not unsettled._waiting


def test_what_comes_in_as_the_last_is_settled_is_settled_too(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.REDIS_PROBE_MS = 1
    settled, real = threading.Event(), unsettled.settle

    def settle() -> bool:
        done = real()
        if not settled.is_set() and not late:
            late.append(1)
            unsettled.settle_later(named("late"), settled.set)  # its thread finds this one at work
        return done

    late: list[int] = []
    monkeypatch.setattr(unsettled, "settle", settle)
    unsettled.settle_later(named("first"), lambda: None)
    assert settled.wait(30)


def test_what_fails_otherwise_keeps_nobody_waiting_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    unsettled.settle_later(named("first"), lambda: 1 / 0)
    unsettled.settle_later(named("second"), lambda: done.append("second"))
    assert unsettled.settle()
    assert done == ["second"]
    assert "charge first of account 1, 10 tokens, stands" in caplog.text


def test_in_turn_and_from_where_postgresql_failed() -> None:
    done: list[str] = []
    answers = iter([True, False, True, True])

    def work(name: str) -> None:
        if not next(answers):
            raise OperationalError("gone")
        done.append(name)

    for name in "abc":
        unsettled.settle_later(named(name), lambda name=name: work(name))  # type: ignore[misc]
    assert not unsettled.settle()
    assert unsettled.settle()
    assert done == ["a", "b", "c"]


def test_two_at_it_at_once_leave_nothing_undone() -> None:
    """The second takes the first one's work out of the row while that is still at it."""
    done: list[str] = []

    def work() -> None:
        done.append("first")
        if len(done) == 1:
            assert unsettled.settle()

    unsettled.settle_later(named("first"), work)
    unsettled.settle_later(named("second"), lambda: done.append("second"))
    assert unsettled.settle()
    assert done == ["first", "first", "second"]


@pytest.mark.parametrize(("most", "kept"), [(1, 1), (2, 2), (3, 2)])
def test_not_more_than_a_process_can_remember(
    most: int, kept: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(unsettled, "MOST", most)
    done: list[int] = []
    for number in range(2):
        unsettled.settle_later(named(str(number)), lambda: done.append(0))
    assert unsettled.settle()
    assert len(done) == kept
    assert ("too many wait" in caplog.text) is (kept < 2)


def test_by_itself_as_soon_as_it_can(settings: Any) -> None:
    settings.REDIS_PROBE_MS = 1
    settled, left = threading.Event(), [3]

    def work() -> None:
        left[0] -= 1
        if left[0]:
            raise OperationalError("gone")
        settled.set()

    unsettled.settle_later(named("charge"), work)
    assert settled.wait(60)


def named(charge: str) -> Event:
    return Event(charge, CHARGE, 1, 0, 1, "trace_start", 10, 0)


def out_of_reach(*_: Any) -> None:
    raise OperationalError("gone")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("repeated", [True, False])
@pytest.mark.parametrize("failed", [True, False])
def test_a_request_that_was_repeated_before_that_keeps_its_charge(
    bob: Customer, settings: Any, lose_postgres: Any, monkeypatch: pytest.MonkeyPatch, repeated: bool, failed: bool
) -> None:
    """Redis has its charge, which nobody was served for. Its client tries again, while its process knows no engine."""
    settings.LONGEST_REQUEST_SECONDS = 0
    caller = bob.caller

    def keyed() -> Admission:
        feature = "trace_start"
        request = {"idempotency_key": "k", "fingerprint": b"f"}
        return decide(caller, lambda catalogue: ChargeRequest(catalogue.features[feature], **request))  # type: ignore[arg-type]

    admit(bob)  # so that its facts are known
    if failed:
        admission = keyed()
        with no_redis(settings):
            lose_postgres()
            voiding.void_failed_call(admission)
    else:
        with lost_replies(monkeypatch), pytest.raises((OperationalError, Unavailable)):
            lose_postgres()
            keyed()
    monkeypatch.undo()
    if repeated:
        outage.breaker.is_open = False  # another process, which has found Redis again
        again = keyed()
        assert again.decision.outcome is Outcome.RERUN
        kept_answers.keep(again, HttpResponse("served"))
        outage.breaker.is_open = True
    assert unsettled.settle()
    assert outage.breaker.attempt()
    drain.drain()
    assert sums(bob.account) == {10 + 10 * repeated}
    assert keyed().decision.outcome is (Outcome.REPLAYED if repeated else Outcome.ADMITTED)
