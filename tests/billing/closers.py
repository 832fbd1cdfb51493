"""Customers whose period has ended, and several processes that close their periods at once, held where a test wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import connection

from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.periods import MONTH, nth_period
from tests.billing.waiting import locks


def many_due(count: int, plan: Plan, to: Plan | None = None) -> None:
    """Customers since October 1st; every second one is scheduled to change."""
    anchor = datetime(2025, 10, 1, tzinfo=UTC)
    october = nth_period(anchor, MONTH, 0)
    users = User.objects.bulk_create(User(username=f"due{n}", password="!") for n in range(count))
    subscriptions = Subscription.objects.bulk_create(
        Subscription(
            account=user,
            plan=plan,
            anchor=anchor,
            created_at=anchor,
            changed_at=anchor,
            period_ends_at=october.end,
            scheduled_plan=to if position % 2 else None,
            scheduled_at=october.end if to and position % 2 else None,
        )
        for position, user in enumerate(users)
    )
    BillingPeriod.objects.bulk_create(
        BillingPeriod(
            subscription=subscription,
            number=0,
            starts_at=october.start,
            ends_at=october.end,
            plan=plan,
            price=plan.price,
            currency=plan.currency,
        )
        for subscription in subscriptions
    )


NUMBERS = "relation = 'billing_documentnumber'::regclass AND mode = 'RowExclusiveLock'"


def waiting_for_numbers() -> int:
    return locks(f"{NUMBERS} AND NOT granted")


def closing_processes() -> int:
    return locks(NUMBERS, counting="DISTINCT pid")


class Gate:
    """Lets nobody take a document number, and so nobody commit a batch, while it is shut."""

    def __init__(self) -> None:
        self.connection = connection.copy()
        self.connection.set_autocommit(False)
        self.connection.inc_thread_sharing()

    def shut(self) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute("LOCK TABLE billing_documentnumber IN ACCESS EXCLUSIVE MODE")

    def open(self) -> None:
        self.connection.rollback()


@contextmanager
def gates() -> Iterator[tuple[Gate, Gate]]:
    both = Gate(), Gate()
    try:
        yield both
    finally:
        for gate in both:
            gate.connection.close()


def asking_to_shut() -> int:
    return locks("NOT granted AND mode = 'AccessExclusiveLock'")
