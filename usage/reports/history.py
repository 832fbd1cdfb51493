"""Usage over time: daily sums as one entry a day or month, days without calls included. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

DAY, MONTH = "day", "month"
MOST_DAYS = 400


@dataclass(slots=True)
class HistoryEntry:
    """One day, or with `date` its first day one month, of which only the days asked for count."""

    date: date
    tokens: int = 0
    calls: int = 0
    features: dict[str, int] = field(default_factory=dict)


def history(
    first: date, last: date, granularity: str, sums: Iterable[tuple[date, str, int, int]]
) -> list[HistoryEntry]:
    """Entries from the first to the last date, both included; `sums` are (date, feature, tokens, calls)."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    entries = {start: HistoryEntry(start) for start in (_start(day, granularity) for day in days)}
    for day, feature, tokens, calls in sums:
        entry = entries[_start(day, granularity)]
        entry.tokens += tokens
        entry.calls += calls
        if tokens or calls:
            entry.features[feature] = entry.features.get(feature, 0) + tokens
    return list(entries.values())


def _start(day: date, granularity: str) -> date:
    return day.replace(day=1) if granularity == MONTH else day
