"""What tests of reservations do: reserve, and look at what is left of it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from tests.cast import Customer
from usage.drain import drain
from usage.metering.reservations import finishing, opening, progress
from usage.metering.reservations.ends import Report, Settlement
from usage.metering.reservations.held import Held, find
from usage.metering.reservations.opening import Asked
from usage.models import Reservation, UsageLog, WindowUsage
from usage.reconciliation import reconcile

FEATURE = "trace_start"


def reserve(customer: Customer, tokens: int = 9, feature: str = FEATURE, **asked: Any) -> Held:
    if "units" in asked:
        tokens_or_units: dict[str, Any] = {}
    else:
        tokens_or_units = {"tokens": tokens}
    _, held, _ = opening.reserve(customer.caller, Asked(feature, **tokens_or_units, **asked), timezone.now())
    return held


def settle(held: Held, tokens: int | None = None, **report: Any) -> Settlement:
    used = report.pop("units", None if tokens is None else {"tokens": tokens})
    return finishing.settle(held, Report(used, **report), timezone.now())


def heartbeat(held: Held, tokens: int) -> int:
    """What it holds afterwards."""
    return progress.heartbeat(held, {"tokens": tokens}, timezone.now()).bound


def again(held: Held) -> Held:
    return find(held.account, held.id)


def row(held: Held) -> Reservation:
    drain.drain()
    return Reservation.objects.get(pk=held.id)


def counted(customer: Customer) -> tuple[int, int]:
    """Tokens by PostgreSQL's counter of the window, and by the log; once the log is up to now."""
    drain.drain()
    window = WindowUsage.objects.filter(account_id=customer.account).order_by("-starts_at").first()
    logged = sum(UsageLog.objects.filter(account=customer.account).values_list("tokens", flat=True))
    return (window.tokens if window else 0), logged


def nothing_drifts() -> bool:
    report = reconcile.reconcile(timezone.now(), lambda drift: None)
    return not report.drifting
