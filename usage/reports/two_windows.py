"""Day by day what was used of the present usage window and of the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import F, Subquery, Value
from django.db.models.functions import Coalesce, TruncDate

from billing.rules.periods import Period
from usage.models import DailyUsage, WindowUsage
from usage.reports.history import DAY, HistoryEntry, entries

LONGEST_AGO = timedelta(days=62)
"""That a window can have begun which ends where the present one begins."""


@dataclass(frozen=True, slots=True)
class TwoWindows:
    """UTC dates without a gap. The date on which the present window began counts as its own as a whole."""

    before: list[HistoryEntry]
    """Of the last window; empty where nothing was used of it."""
    present: list[HistoryEntry]

    @property
    def features(self) -> list[str]:
        """Those that were used, the most used first."""
        tokens: dict[str, int] = {}
        for day in (*self.before, *self.present):
            for feature, used in day.features.items():
                tokens[feature] = tokens.get(feature, 0) + used
        return sorted(tokens, key=lambda feature: (-tokens[feature], feature))


def two_windows(account: int, window: Period, now: datetime) -> TwoWindows:
    """From the sums, which lag the calls by as much as the drain does: one query."""
    began = window.start.date()
    earlier = WindowUsage.objects.filter(
        account_id=account, starts_at__gte=window.start - LONGEST_AGO, starts_at__lt=window.start
    )
    earlier = earlier.order_by("-starts_at").annotate(date=TruncDate("starts_at", tzinfo=UTC))
    first = Coalesce(Subquery(earlier.values("date")[:1]), Value(began))
    rows = DailyUsage.objects.annotate(first=first).filter(account_id=account, date__gte=F("first"))
    rows = rows.filter(date__lte=max(now.date(), began)).order_by("date", "feature")
    sums = list(rows.values_list("date", "feature", "tokens", "calls", "first"))
    days = entries(sums[0][-1] if sums else began, max(now.date(), began), DAY, [row[:-1] for row in sums])
    return TwoWindows([day for day in days if day.date < began], [day for day in days if day.date >= began])
