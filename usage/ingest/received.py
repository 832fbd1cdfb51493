"""Which events are known: each once, by its account, its source and the id that its sender gave it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from usage.ingest.reported import Name

# In the order of the key: of two senders with the same events one waits for the other, whatever order theirs are in.
REMEMBER = """
INSERT INTO usage_receivedevent (account_id, source, sent_id, event_id, key_prefix, received_at)
    SELECT account_id, source, sent_id, event_id, %s, %s
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[]) AS given (account_id, source, sent_id, event_id)
    ORDER BY account_id, source, sent_id
ON CONFLICT DO NOTHING RETURNING event_id::text
"""
KNOWN = """
SELECT account_id, source, sent_id FROM usage_receivedevent
JOIN unnest(%s::bigint[], %s::text[], %s::text[]) AS given (account_id, source, sent_id)
    USING (account_id, source, sent_id)
"""
PURGE = """
DELETE FROM usage_receivedevent WHERE ctid IN (SELECT ctid FROM usage_receivedevent WHERE received_at < %s LIMIT %s)
"""
PURGED_AT_ONCE = 10_000
KEPT = timedelta(days=settings.LATE_EVENT_DAYS_MOST + 1)
"""Longer than any event is taken after its time, also when LATE_EVENT_DAYS is raised: who sends it again is known."""


def remember(events: Mapping[Name, str], by: str, now: datetime) -> set[str]:
    """Note events, each with its id in the log, in the caller's transaction; the ids of those that were not known.

    `by` is the prefix of the API key that they came with.
    """
    if not events:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(REMEMBER, [by, now, *_columns(events), list(events.values())])
        return {event for (event,) in cursor.fetchall()}


def known(names: Iterable[Name]) -> set[Name]:
    """Those that are known."""
    asked = set(names)
    if not asked:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(KNOWN, _columns(asked))
        return set(cursor.fetchall())


def purge(now: datetime) -> int:
    """Forget events that would not be taken any more, some at a time; returns how many."""
    before, forgotten = now - KEPT, 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(PURGE, [before, PURGED_AT_ONCE])
            some = int(cursor.rowcount)
        forgotten += some
        if some < PURGED_AT_ONCE:
            return forgotten


def _columns(names: Iterable[Name]) -> list[list[object]]:
    return [list(column) for column in zip(*names, strict=True)]
