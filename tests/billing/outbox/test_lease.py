"""A dispatcher that was killed in a call, or hangs in it: nothing is known of it but its lease."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from billing.models import OutboxCursor, OutboxMessage
from billing.outbox.delivery import Delivery
from tests.billing.outbox.taking import ALICE, Clock, Taker, cursor_of, deliver, happened, number

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claim(clock: Clock) -> OutboxCursor:
    claimed = OutboxCursor.objects.claim("log", clock.now)
    assert claimed is not None
    return claimed


def test_nobody_else_has_the_account_while_it_holds(clock: Clock, settings: Any) -> None:
    settings.OUTBOX_LEASE_SECONDS = 30
    happened(ALICE, 1)
    number()
    claim(clock)
    taker = Taker()
    for tick, tried in ((0, 0), (29.999999, 0), (0.000001, 1)):
        clock.tick(tick)
        deliver(clock, log=taker)
        assert len(taker.tried) == tried


def test_a_call_that_never_ends_is_a_try_that_failed(clock: Clock) -> None:
    happened(ALICE, 1)
    number()
    claim(clock)
    clock.tick(60)
    claim(clock)
    cursor = cursor_of(ALICE)
    assert (cursor.attempts, cursor.is_failing, cursor.error) == (2, True, "")


def test_one_that_kills_its_process_each_time_is_backed_off_too(clock: Clock) -> None:
    happened(ALICE, 1)
    number()
    for _ in range(12):
        claimed = claim(clock)
        clock.now = claimed.due_at
    claim(clock)
    assert cursor_of(ALICE).due_at - clock.now == timedelta(hours=1)


def test_who_comes_back_after_it_has_run_out_changes_nothing(clock: Clock) -> None:
    happened(ALICE, 1, 2)
    number()
    late = claim(clock)
    clock.tick(60)
    present = claim(clock)
    position = late.waiting[0].position
    assert position is not None
    assert not late.advance(position, clock.now, goes_on=True)
    assert not late.fail("timeout", clock.now)
    assert present.advance(position, clock.now, goes_on=False)
    assert cursor_of(ALICE).waiting.count() == 1


def test_it_is_renewed_with_each_message(clock: Clock, settings: Any) -> None:
    settings.OUTBOX_LEASE_SECONDS = 30
    happened(ALICE, 1, 2, 3)
    taker, other = Taker(), Taker()

    def slow(message: OutboxMessage) -> None:
        clock.tick(20)
        Delivery("log", other, clock).run()

    taker.does = slow
    deliver(clock, log=taker)
    assert (taker.of(ALICE), other.took) == ([1, 2, 3], [])


def test_who_outlasts_it_goes_no_further(clock: Clock) -> None:
    happened(ALICE, 1, 2)
    taker, other = Taker(), Taker()

    def slow(message: OutboxMessage) -> None:
        clock.tick(61)
        Delivery("log", other, clock).run()

    taker.does = slow
    deliver(clock, log=taker)
    assert (taker.of(ALICE), other.of(ALICE)) == ([1], [1, 2])
