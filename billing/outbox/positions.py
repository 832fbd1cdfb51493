"""Giving messages their positions, and waking their accounts' cursors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction

BATCH = 1_000
LOCK = 0x0B0C5
"""An advisory lock of PostgreSQL: one process at a time gives positions."""
# An account that is new to a consumer starts with the first message that is seen then. A cursor that waits keeps its
# due_at: a message more does not shorten the backoff or the lease of the one before it.
GIVE = """
WITH fresh AS MATERIALIZED (
    SELECT id FROM billing_outboxmessage WHERE position IS NULL ORDER BY id LIMIT %s
), numbered AS MATERIALIZED (
    SELECT id, nextval('billing_outbox_position') AS position FROM fresh
), placed AS (
    UPDATE billing_outboxmessage AS message SET position = numbered.position
    FROM numbered WHERE message.id = numbered.id RETURNING message.account_id, message.position
), woken AS (
    INSERT INTO billing_outboxcursor (consumer, account_id, delivered, latest, due_at, attempts, error)
    SELECT consumer, account_id, min(position) - 1, max(position), %s, 0, ''
    FROM unnest(%s::text[]) AS consumer CROSS JOIN placed GROUP BY consumer, account_id ORDER BY consumer, account_id
    ON CONFLICT (consumer, account_id) DO UPDATE SET latest = EXCLUDED.latest
)
SELECT count(*) FROM placed
"""


def give_positions(consumers: Iterable[str], now: datetime, most: int = BATCH) -> int:
    """Number committed messages that have no position yet, oldest id first; returns how many, at most `most`.

    Returns 0 while another process does it. A message that commits later is numbered higher: the lock is released
    after the commit, and the next holder reads, in a statement begun under the lock, all that was committed before.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            return 0
        cursor.execute(GIVE, [most, now, list(consumers)])
        return int(cursor.fetchone()[0])
