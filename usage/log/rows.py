"""Rows of the log as the events that they were made from."""

from __future__ import annotations

from billing.rules.instants import to_ms, to_seconds
from usage.log.events import Event
from usage.models import UsageLog, WindowUsage


def event_of(row: UsageLog) -> Event:
    """The event of a charge's row; its Idempotency-Key is not in the log. Raises WindowUsage.DoesNotExist."""
    window = WindowUsage.objects.get(account_id=row.account_id, starts_at=row.window_starts_at)
    return Event(
        charge=str(row.event_id),
        kind=row.kind,
        account=row.account_id,
        window_start=to_seconds(window.starts_at),
        window_end=to_seconds(window.ends_at),
        feature=row.feature,
        tokens=row.tokens,
        at_ms=to_ms(row.created_at),
        source=row.source,
        key_prefix=row.key_prefix,
        metadata=row.metadata,
    )
