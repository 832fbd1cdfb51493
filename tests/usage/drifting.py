"""Accounts with calls that are drained and calls that are not, and hands that damage what holds them."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone

from billing.entitlements.snapshots import snapshot
from ratelimit.keys import AccountKeys
from ratelimit.store import client
from tests.cast import Customer
from tests.usage.histories import admit
from usage.drain import drain
from usage.reconciliation import reconcile
from usage.reconciliation.drift import Drift
from usage.reconciliation.reconcile import Report


def spend(customer: Customer, drained: int, waiting: int = 0) -> None:
    """Calls of 10 tokens each."""
    for _ in range(drained):
        admit(customer)
    drain.drain()
    for _ in range(waiting):
        admit(customer)


def quota_key(customer: Customer) -> bytes:
    window = snapshot(customer.account, round(timezone.now().timestamp() * 1000)).entitlement.window
    return AccountKeys(customer.account).quota(round(window.start.timestamp()) * 1000)


def held(customer: Customer) -> dict[bytes, bytes]:
    return client().hgetall(quota_key(customer))


def sql(statement: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def compared(
    *, repairing: bool = False, account: int | None = None, now: datetime | None = None, whole: bool = False
) -> tuple[list[Drift], Report]:
    found: list[Drift] = []
    report = reconcile.reconcile(now or timezone.now(), found.append, repairing=repairing, account=account, whole=whole)
    return found, report


def parts(found: list[Drift]) -> set[str]:
    return {str(drift.part) for drift in found}
