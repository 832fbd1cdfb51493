"""How much of its window an account will have used at the present pace, and when its quota ends. For people to read."""

from __future__ import annotations

from datetime import date, datetime

from django.db.models import Sum

from billing.entitlements import snapshots
from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlements import forecast as rule
from billing.rules.entitlements.forecast import DayUsage, Forecast
from billing.rules.instants import to_ms
from billing.rules.periods import Period
from usage.models import DailyUsage, WindowUsage

__all__ = ["Forecast", "forecast", "forecast_from"]


def forecast(account: int, now: datetime) -> Forecast | None:
    """Of the account's present window; None where nothing was used of it.

    From the sums, which lag the calls by as much as the drain does: two queries. By the snapshot that this process
    knows, which whoever has just read the account's standing has brought up to date.
    """
    snapshot = snapshots.snapshot(account, to_ms(now))
    window = snapshot.entitlement.window
    counter = WindowUsage.objects.filter(account_id=account, starts_at=window.start).values_list("tokens", flat=True)
    return forecast_from(snapshot, counter.first() or 0, now)


def forecast_from(snapshot: Snapshot, used: int, now: datetime) -> Forecast | None:
    """The same where the snapshot and the tokens used of its window are known: one query."""
    days = _days(snapshot.facts.account, snapshot.entitlement.window, now)
    return rule.forecast(snapshot.facts, snapshot.catalogue.plans, used, days, now)


def _days(account: int, window: Period, now: datetime) -> dict[date, DayUsage]:
    sums = DailyUsage.objects.filter(account_id=account, date__range=(window.start.date(), now.date()))
    by_date = sums.values_list("date").annotate(Sum("tokens"), Sum("calls"))
    return {day: DayUsage(tokens, calls) for day, tokens, calls in by_date}
