"""Usage over time: one entry a day or month, days without calls included."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from usage.models import DailyUsage

DAY, MONTH = "day", "month"
MOST_DAYS = 400
"""That can be asked for at once (the HTTP contract)."""


@dataclass(slots=True)
class HistoryEntry:
    """One day, or one month by its first day; of a month only the days that were asked for count."""

    date: date
    tokens: int = 0
    calls: int = 0
    features: dict[str, int] = field(default_factory=dict)


def history(account: int, first: date, last: date, granularity: str) -> list[HistoryEntry]:
    """One entry for each day or month from the first to the last UTC date, both included.

    From the daily sums, which lag the calls by as much as the drain does.
    """
    sums = DailyUsage.objects.filter(account_id=account, date__range=(first, last)).order_by("date", "feature")
    return entries(first, last, granularity, sums.values_list("date", "feature", "tokens", "calls"))


def entries(
    first: date, last: date, granularity: str, sums: Iterable[tuple[date, str, int, int]]
) -> list[HistoryEntry]:
    """The same from sums that are given: (date, feature, tokens, calls) of dates within these."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    by_start = {start: HistoryEntry(start) for start in (_start(day, granularity) for day in days)}
    for day, feature, tokens, calls in sums:
        entry = by_start[_start(day, granularity)]
        entry.tokens += tokens
        entry.calls += calls
        if tokens or calls:
            entry.features[feature] = entry.features.get(feature, 0) + tokens
    return list(by_start.values())


def _start(day: date, granularity: str) -> date:
    return day.replace(day=1) if granularity == MONTH else day
