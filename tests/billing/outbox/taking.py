"""Messages to deliver, a clock in the test's hands, and a consumer that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from django.db import transaction

from billing.models import OutboxCursor, OutboxMessage
from billing.outbox.delivery import Delivery
from billing.outbox.kinds import Happened
from billing.outbox.positions import give_positions
from billing.outbox.record import record_all

NOON = datetime(2025, 10, 16, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
ALICE, BOB = 1_000_001, 1_000_002
"""Accounts without users: a message may outlive its account's."""


def happened(account: int, *numbers: int) -> None:
    """A transaction that records a message for each number."""
    with transaction.atomic():
        record_all(Happened.PERIOD_RENEWED, [(account, {"period": number}) for number in numbers])


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Taker:
    """A consumer, and the (account, number) pairs that it took. `tried` has those too on which it failed."""

    def __init__(self, does: Callable[[OutboxMessage], None] = lambda _: None) -> None:
        self.does = does
        self.tried: list[tuple[int, int]] = []
        self.took: list[tuple[int, int]] = []
        self.ids: list[int] = []

    def __call__(self, message: OutboxMessage) -> None:
        number = message.account_id, message.payload["period"]
        self.tried.append(number)
        self.does(message)
        self.took.append(number)
        self.ids.append(message.pk)

    def of(self, account: int) -> list[int]:
        return [number for owner, number in self.took if owner == account]


def failing_on(*numbers: int) -> Taker:
    def fail(message: OutboxMessage) -> None:
        if message.payload["period"] in numbers:
            raise ValueError("no such address")

    return Taker(fail)


def deliver(clock: Clock, **takers: Taker) -> None:
    """All that is due, on the test's own thread and connection: to one consumer after the other."""
    number(takers)
    for name, taker in takers.items():
        Delivery(name, taker, clock).run()


def number(consumers: Iterable[str] = ("log",)) -> int:
    return give_positions(consumers, NOON)


def cursor_of(account: int, consumer: str = "log") -> OutboxCursor:
    return OutboxCursor.objects.get(consumer=consumer, account=account)
