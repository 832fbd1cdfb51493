"""How long messages are kept after every consumer has got them, and what waits until then."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection

BATCH = 5_000
DELETE = """
DELETE FROM billing_outboxmessage WHERE id IN (
    SELECT id FROM billing_outboxmessage AS message
    WHERE position IS NOT NULL AND recorded_at < %s AND NOT EXISTS (
        SELECT FROM billing_outboxcursor AS cursor
        WHERE cursor.consumer = ANY (%s) AND cursor.account_id = message.account_id
            AND cursor.delivered < message.position
    ) LIMIT %s
)
"""
COUNTED = 10_000
"""A backlog is counted up to so many: a close may leave ten times as many for a minute, and whoever asks asks often."""
BACKLOG = """
SELECT named.consumer, count(message.id), min(message.recorded_at)
FROM unnest(%s::text[]) AS named (consumer) LEFT JOIN LATERAL (
    SELECT message.id, message.recorded_at FROM (
        SELECT account_id, delivered FROM billing_outboxcursor
        WHERE consumer = named.consumer AND delivered < latest ORDER BY due_at LIMIT %s
    ) AS cursor JOIN billing_outboxmessage AS message
        ON message.account_id = cursor.account_id AND message.position > cursor.delivered
    UNION ALL
    (SELECT id, recorded_at FROM billing_outboxmessage WHERE position IS NULL ORDER BY id LIMIT %s)
    LIMIT %s
) AS message ON true
GROUP BY named.consumer
"""


class Backlog(NamedTuple):
    """What one consumer has not got yet. `messages` COUNTED means so many, or more."""

    consumer: str
    messages: int
    oldest: datetime | None


def backlogs(consumers: Iterable[str]) -> list[Backlog]:
    with connection.cursor() as cursor:
        cursor.execute(BACKLOG, [list(consumers), COUNTED, COUNTED, COUNTED])
        return [Backlog(*row) for row in cursor.fetchall()]


def purge(now: datetime) -> int:
    """Delete messages older than OUTBOX_KEPT_DAYS that no consumer waits for; returns how many."""
    cutoff, consumers = now - timedelta(days=settings.OUTBOX_KEPT_DAYS), list(settings.OUTBOX_CONSUMERS)
    total = 0
    with connection.cursor() as cursor:
        while True:
            cursor.execute(DELETE, [cutoff, consumers, BATCH])
            deleted = int(cursor.rowcount)
            total += deleted
            if deleted < BATCH:
                return total
