"""The audit log as its account may read it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from django.db.models import QuerySet

from usage.models import UsageLog


def audit_events(
    account: int,
    feature: str | None = None,
    first: date | None = None,
    last: date | None = None,
    *,
    kind: str | None = None,
    key_prefix: str | None = None,
    zone: tzinfo = UTC,
) -> QuerySet[UsageLog]:
    """The account's charges and voids; of one feature, kind, or API key; of calls made from the first to the last date.

    Both dates are included, and begin at midnight in the zone. Refused calls are left out: they are in the log for the
    drain's sake, and cost nothing.
    """
    events = UsageLog.objects.filter(account=account).exclude(kind=UsageLog.Kind.REFUSED)
    equal = {"feature": feature, "kind": kind, "key_prefix": key_prefix}
    events = events.filter(**{name: value for name, value in equal.items() if value is not None})
    if first is not None:
        events = events.filter(charged_at__gte=datetime.combine(first, time.min, zone))
    if last is not None:
        events = events.filter(charged_at__lt=datetime.combine(last + timedelta(days=1), time.min, zone))
    return events
