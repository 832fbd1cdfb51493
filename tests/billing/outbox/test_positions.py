"""The order of an account: transactions that commit out of order, and several processes that give positions at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from billing.models import OutboxMessage
from billing.outbox import positions
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from tests.billing.outbox.taking import ALICE, BOB, NOON, Clock, Taker, cursor_of, deliver, happened, number

pytestmark = pytest.mark.django_db(transaction=True)


def order(account: int) -> list[int]:
    rows = OutboxMessage.objects.filter(account=account, position__isnull=False).order_by("position")
    return [payload["period"] for payload in rows.values_list("payload", flat=True)]


class Elsewhere:
    """A transaction on a connection of its own."""

    def __init__(self) -> None:
        self.connection = connection.copy()
        self.connection.set_autocommit(False)

    def record(self, account: int, period: int) -> int:
        """Write a message; returns its id."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO billing_outboxmessage (account_id, kind, payload, recorded_at)"
                " VALUES (%s, 'subscription.renewed', jsonb_build_object('period', %s::int), now()) RETURNING id",
                [account, period],
            )
            return int(cursor.fetchone()[0])

    def commit(self) -> None:
        self.connection.commit()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    one = Elsewhere()
    yield one
    one.connection.close()


def test_a_message_that_commits_late_is_not_skipped(elsewhere: Elsewhere) -> None:
    """Its id is lower than that of a message that was delivered before it could be seen."""
    clock, taker = Clock(), Taker()
    late = elsewhere.record(ALICE, 1)
    happened(ALICE, 2)
    assert OutboxMessage.objects.get().pk > late
    deliver(clock, log=taker)
    assert taker.took == [(ALICE, 2)]
    elsewhere.commit()
    deliver(clock, log=taker)
    assert taker.took == [(ALICE, 2), (ALICE, 1)]


def test_one_that_commits_late_does_not_overtake_one_that_waits(elsewhere: Elsewhere) -> None:
    clock, taker = Clock(), Taker()
    elsewhere.record(ALICE, 1)
    happened(ALICE, 2)
    number()
    elsewhere.commit()
    deliver(clock, log=taker)
    assert taker.took == [(ALICE, 2), (ALICE, 1)]


def test_an_open_transaction_holds_nobody_up(elsewhere: Elsewhere) -> None:
    elsewhere.record(ALICE, 1)
    happened(ALICE, 2)
    happened(BOB, 3)
    assert number() == 2


def test_one_that_was_rolled_back_leaves_a_gap_that_is_no_message(elsewhere: Elsewhere) -> None:
    elsewhere.record(ALICE, 1)
    happened(ALICE, 2)
    elsewhere.connection.rollback()
    number()
    assert order(ALICE) == [2]


def test_writers_that_one_row_lock_serialises_are_in_the_order_of_their_commits() -> None:
    """Eight at once, each numbering its message by a counter that it holds locked, as facts hold the subscription."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE counter AS SELECT 0 AS value")

    def write() -> None:
        try:
            for _ in range(10):
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("UPDATE counter SET value = value + 1 RETURNING value")
                    record_all(Happened.PERIOD_RENEWED, [(ALICE, {"period": int(cursor.fetchone()[0])})])
                number()
        finally:
            connection.close()

    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: write(), range(8)))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE counter")
    number()
    assert order(ALICE) == list(range(1, 81))


def test_a_second_process_leaves_it_to_the_first() -> None:
    happened(ALICE, 1)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [positions.LOCK])
            assert number() == 0
            cursor.execute("SELECT pg_advisory_unlock(%s)", [positions.LOCK])
        assert number() == 1
    finally:
        other.close()


def test_more_than_a_batch_is_given_in_order() -> None:
    happened(ALICE, *range(7))
    counts = [positions.give_positions(["log"], NOON, most=3) for _ in range(4)]
    assert counts == [3, 3, 1, 0]
    assert order(ALICE) == list(range(7))


def test_an_account_is_new_to_a_consumer_once() -> None:
    happened(ALICE, 1, 2)
    number()
    first = cursor_of(ALICE)
    assert first.latest - first.delivered == 2
    happened(ALICE, 3)
    number()
    assert cursor_of(ALICE).delivered == first.delivered
    assert cursor_of(ALICE).latest == first.latest + 1


def test_a_consumer_that_comes_later_begins_with_what_happens_then() -> None:
    clock, old, new = Clock(), Taker(), Taker()
    happened(ALICE, 1)
    deliver(clock, old=old)
    happened(ALICE, 2)
    deliver(clock, old=old, new=new)
    assert (old.of(ALICE), new.of(ALICE)) == ([1, 2], [2])
