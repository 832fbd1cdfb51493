"""PostgreSQL's side of metering: stores events once, and moves every sum by the rows that were really inserted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from usage import partitions
from usage.events import VOID, Event
from usage.models import UsageLog, WindowUsage

COLUMNS = (
    "id, event_id, charged_at, created_at, account_id, feature, tokens, kind,"
    " source, key_prefix, window_starts_at, metadata"
)

STAGING = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS usage_arrived ON COMMIT DELETE ROWS AS
    SELECT {COLUMNS}, now() AS window_ends_at FROM usage_usagelog LIMIT 0;
CREATE TEMPORARY TABLE IF NOT EXISTS usage_inserted ON COMMIT DELETE ROWS AS SELECT * FROM usage_arrived LIMIT 0;
TRUNCATE usage_arrived, usage_inserted
"""

INSERT_ONCE = f"""
WITH inserted AS (
    INSERT INTO usage_usagelog ({COLUMNS}) SELECT {COLUMNS} FROM usage_arrived ON CONFLICT DO NOTHING
    RETURNING id, charged_at
)
INSERT INTO usage_inserted
    SELECT DISTINCT ON (id) arrived.* FROM usage_arrived arrived JOIN inserted USING (id, charged_at)
"""

# In this order, and each in the order of its key: whoever else moves these rows takes them in the same order.
SUMS = (
    """
    INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
        SELECT account_id, window_starts_at, max(window_ends_at), sum(tokens), 1 FROM usage_inserted
        GROUP BY account_id, window_starts_at ORDER BY account_id, window_starts_at
    ON CONFLICT (account_id, starts_at)
        DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens, revision = kept.revision + 1
    """,
    """
    INSERT INTO usage_featureusage AS kept (account_id, window_starts_at, feature, tokens)
        SELECT account_id, window_starts_at, feature, sum(tokens) FROM usage_inserted
        GROUP BY account_id, window_starts_at, feature ORDER BY account_id, window_starts_at, feature
    ON CONFLICT (account_id, window_starts_at, feature) DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens
    """,
    """
    INSERT INTO usage_dailyusage AS kept (account_id, date, feature, tokens, calls)
        SELECT account_id, (charged_at AT TIME ZONE 'UTC')::date AS on_date, feature, sum(tokens),
            sum(CASE kind WHEN 'charge' THEN 1 ELSE -1 END)
        FROM usage_inserted GROUP BY account_id, on_date, feature ORDER BY account_id, on_date, feature
    ON CONFLICT (account_id, date, feature)
        DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens, calls = kept.calls + EXCLUDED.calls
    """,
)

COUNTERS = """
SELECT DISTINCT kept.account_id, kept.starts_at, kept.ends_at, kept.tokens, kept.revision
FROM usage_windowusage kept
JOIN usage_arrived ON kept.account_id = usage_arrived.account_id AND kept.starts_at = usage_arrived.window_starts_at
"""


def store(events: Sequence[Event]) -> list[WindowUsage]:
    """Insert what is new, in the caller's transaction; returns the counters these events belong to, as they are now.

    A void brings its charge along, so the sum is right in whichever order the two arrive.
    """
    if not events:
        return []
    whole = [event.charged() for event in events if event.kind == VOID] + list(events)
    partitions.ensure({_at(event.charged_at_ms) for event in whole})
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        with cursor.copy(f"COPY usage_arrived ({COLUMNS}, window_ends_at) FROM STDIN") as copy:
            for event in whole:
                copy.write_row(_row(event))
        cursor.execute(INSERT_ONCE)
        for statement in SUMS:
            cursor.execute(statement)
        cursor.execute(COUNTERS)
        return [WindowUsage(**dict(zip(_COUNTER_FIELDS, row, strict=True))) for row in cursor.fetchall()]


_COUNTER_FIELDS = ("account_id", "starts_at", "ends_at", "tokens", "revision")


def window_of(row: UsageLog) -> WindowUsage:
    return WindowUsage.objects.get(account_id=row.account_id, starts_at=row.window_starts_at)


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _row(event: Event) -> tuple[Any, ...]:
    return (
        event.id,
        event.charge,
        _at(event.charged_at_ms),
        _at(event.at_ms),
        event.account,
        event.feature,
        event.tokens,
        event.kind,
        event.source,
        event.key_prefix,
        datetime.fromtimestamp(event.window_start, UTC),
        None if event.metadata is None else Jsonb(event.metadata),
        datetime.fromtimestamp(event.window_end, UTC),
    )
