"""The audit log as its account may read it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet

from usage.models import UsageLog


def audit_events(
    account: int, feature: str | None = None, first: date | None = None, last: date | None = None
) -> QuerySet[UsageLog]:
    """The account's charges and voids, of one feature, and of calls made from the first to the last UTC date.

    Both dates are included. Refused calls are left out: they are in the log for the drain's sake, and cost nothing.
    """
    events = UsageLog.objects.filter(account=account).exclude(kind=UsageLog.Kind.REFUSED)
    if feature is not None:
        events = events.filter(feature=feature)
    if first is not None:
        events = events.filter(charged_at__gte=_midnight(first))
    if last is not None:
        events = events.filter(charged_at__lt=_midnight(last) + timedelta(days=1))
    return events


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
