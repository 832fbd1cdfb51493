"""Deliveries to one consumer: order, failures and their backoff, leases that run out, what staff skip."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

from billing.models import OutboxCursor, OutboxMessage
from billing.outbox import delivery
from billing.outbox.delivery import Delivery
from billing.outbox.models import LONGEST_BACKOFF
from tests.billing.outbox.taking import ALICE, BOB, Clock, Taker, cursor_of, deliver, failing_on, happened, number

pytestmark = pytest.mark.django_db


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_each_consumer_gets_each_message_once_in_order(clock: Clock) -> None:
    happened(ALICE, 1, 2)
    happened(BOB, 3)
    happened(ALICE, 4)
    log, mail = Taker(), Taker()
    for _ in range(2):
        deliver(clock, log=log, mail=mail)
    assert sorted(log.took) == sorted(mail.took) == [(ALICE, 1), (ALICE, 2), (ALICE, 4), (BOB, 3)]
    assert log.of(ALICE) == mail.of(ALICE) == [1, 2, 4]


def test_a_message_is_known_by_its_id(clock: Clock) -> None:
    happened(ALICE, 1)
    taker = Taker()
    deliver(clock, log=taker)
    assert taker.ids == [OutboxMessage.objects.get().pk]


def test_long_accounts_take_turns(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TURN", 2)
    happened(ALICE, *range(5))
    happened(BOB, *range(5))
    clock.tick(1)
    taker = Taker(lambda _: clock.tick(1))
    deliver(clock, log=taker)
    assert taker.of(ALICE) == taker.of(BOB) == list(range(5))
    assert taker.took[:4] == [(ALICE, 0), (ALICE, 1), (BOB, 0), (BOB, 1)]


class TestFailure:
    def test_it_holds_up_its_account_for_its_consumer_only(self, clock: Clock) -> None:
        happened(ALICE, 1, 2, 3)
        happened(BOB, 4)
        mail, log = failing_on(2), Taker()
        deliver(clock, mail=mail, log=log)
        assert (mail.of(ALICE), mail.of(BOB)) == ([1], [4])
        assert (log.of(ALICE), log.of(BOB)) == ([1, 2, 3], [4])

    def test_staff_see_it(self, clock: Clock) -> None:
        happened(ALICE, 1)
        deliver(clock, log=failing_on(1))
        cursor = cursor_of(ALICE)
        assert (cursor.attempts, cursor.error, cursor.is_failing) == (1, "ValueError: no such address", True)
        assert OutboxCursor.objects.failing().get() == cursor

    def test_tries_are_2_4_8_seconds_apart_and_at_last_an_hour(self, clock: Clock) -> None:
        happened(ALICE, 1)
        taker = failing_on(1)
        deliver(clock, log=taker)
        for tries, wait in enumerate([2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600], start=1):
            clock.tick(wait - 0.000001)
            deliver(clock, log=taker)
            assert len(taker.tried) == tries
            clock.tick(0.000001)
            deliver(clock, log=taker)
            assert len(taker.tried) == tries + 1
        assert cursor_of(ALICE).backoff == LONGEST_BACKOFF

    def test_later_messages_neither_overtake_nor_hasten_it(self, clock: Clock) -> None:
        taker = failing_on(1)
        happened(ALICE, 1)
        deliver(clock, log=taker)
        happened(ALICE, 2)
        deliver(clock, log=taker)
        assert taker.tried == [(ALICE, 1)]

    def test_once_it_succeeds_the_rest_follows_and_nothing_is_left_of_it(self, clock: Clock) -> None:
        taker = failing_on(1)
        happened(ALICE, 1, 2)
        deliver(clock, log=taker)
        taker.does = lambda _: None
        clock.tick(2)
        deliver(clock, log=taker)
        cursor = cursor_of(ALICE)
        assert taker.of(ALICE) == [1, 2]
        assert (cursor.attempts, cursor.error, cursor.is_failing) == (0, "", False)

    def test_each_message_has_tries_of_its_own(self, clock: Clock) -> None:
        taker = failing_on(1)
        happened(ALICE, 1, 2)
        for _ in range(3):
            deliver(clock, log=taker)
            clock.tick(3600)
        taker.does = failing_on(2).does
        deliver(clock, log=taker)
        assert (taker.of(ALICE), cursor_of(ALICE).attempts) == ([1], 1)

    def test_a_consumer_that_left_a_transaction_broken_is_one_that_failed(self, clock: Clock) -> None:
        def broken(_: OutboxMessage) -> None:
            with transaction.atomic():
                OutboxMessage.objects.update(kind="other")

        happened(ALICE, 1)
        deliver(clock, log=Taker(broken))
        assert "kept as it was written" in cursor_of(ALICE).error

    @pytest.mark.parametrize("said", ["no \0 x", "long " * 1_000, ""])
    def test_whatever_a_consumer_says_is_noted(self, clock: Clock, said: str) -> None:
        def broken(_: OutboxMessage) -> None:
            raise RuntimeError(said)

        happened(ALICE, 1)
        deliver(clock, log=Taker(broken))
        cursor = cursor_of(ALICE)
        assert cursor.is_failing
        assert cursor.error.startswith(f"RuntimeError: {said[:3]}")
        assert cursor.backoff == timedelta(seconds=2)
        assert cursor.fail("half \ud800", clock.now)
        assert cursor_of(ALICE).error == "half ?"


class TestStaff:
    def test_what_they_skip_is_never_delivered_and_the_rest_is(self, clock: Clock) -> None:
        happened(ALICE, 1, 2, 3)
        taker = failing_on(2)
        deliver(clock, log=taker)
        skipped = cursor_of(ALICE).skip(clock.now)
        assert skipped is not None
        assert skipped.payload == {"period": 2}
        deliver(clock, log=taker)
        assert taker.of(ALICE) == [1, 3]

    def test_other_consumers_still_get_it(self, clock: Clock) -> None:
        happened(ALICE, 1)
        mail, log = failing_on(1), failing_on(1)
        deliver(clock, mail=mail, log=log)
        cursor_of(ALICE, "mail").skip(clock.now)
        log.does = lambda _: None
        clock.tick(2)
        deliver(clock, mail=mail, log=log)
        assert (mail.took, log.took) == ([], [(ALICE, 1)])

    def test_a_retry_is_at_once(self, clock: Clock) -> None:
        happened(ALICE, 1)
        taker = failing_on(1)
        deliver(clock, log=taker)
        assert cursor_of(ALICE).retry(clock.now)
        deliver(clock, log=taker)
        assert len(taker.tried) == 2

    def test_nothing_is_skipped_in_place_of_what_was_delivered_meanwhile(self, clock: Clock) -> None:
        happened(ALICE, 1, 2)
        taker = failing_on(1, 2)
        deliver(clock, log=taker)
        seen = cursor_of(ALICE)
        taker.does = failing_on(2).does
        clock.tick(2)
        deliver(clock, log=taker)
        assert (seen.skip(clock.now), seen.retry(clock.now)) == (None, False)
        assert cursor_of(ALICE).waiting.count() == 1

    def test_where_nothing_waits_there_is_nothing_to_skip(self, clock: Clock) -> None:
        happened(ALICE, 1)
        deliver(clock, log=Taker())
        assert cursor_of(ALICE).skip(clock.now) is None


def test_what_was_purged_while_a_consumer_was_gone_is_passed_over(clock: Clock) -> None:
    happened(ALICE, 1)
    number()
    OutboxMessage.objects.all().delete()
    taker = Taker()
    deliver(clock, log=taker)
    happened(ALICE, 2)
    deliver(clock, log=taker)
    assert taker.of(ALICE) == [2]


@pytest.mark.django_db(transaction=True)
def test_consumers_run_outside_of_a_transaction(clock: Clock) -> None:
    inside: list[bool] = []
    happened(ALICE, 1, 2)
    deliver(clock, log=Taker(lambda _: inside.append(transaction.get_connection().in_atomic_block)))
    assert inside == [False, False]
    with transaction.atomic(), pytest.raises(RuntimeError):
        Delivery("log", Taker(), clock).run()
