"""The audit log's monthly partitions: made ahead of time, and on the spot when a month is missing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import connection, transaction

from billing.periods import MONTH, month_window, period_start

TABLE = "usage_usagelog"
MONTHS_AHEAD = 3
LOCK = 0x9A27


def name(month: datetime) -> str:
    return f"{TABLE}_{month_window(month).start:%Y_%m}"


def ensure(instants: Iterable[datetime]) -> list[str]:
    """Make the partitions these instants fall into where they are missing; returns the names of those it made.

    The new table is filled with the parent's shape first and then attached, which never blocks readers or the drain.
    """
    months = {month_window(instant) for instant in instants}
    made: list[str] = []
    if {name(month.start) for month in months} <= _present():
        return made
    with transaction.atomic(), connection.cursor() as cursor:
        # Of two drains in a new month one makes the partition, and the other one finds it.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        present = _present()
        for month in sorted(months, key=lambda window: window.start):
            if (table := name(month.start)) in present:
                continue
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                f" ALTER TABLE {TABLE} ATTACH PARTITION {table}"
                f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
            )
            made.append(table)
    return made


def _present() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid"
            " WHERE inhparent = %s::regclass",
            [TABLE],
        )
        return {row[0] for row in cursor.fetchall()}


def ensure_ahead(now: datetime) -> list[str]:
    """Make this month's partition and those of the next months; returns the names of those it made."""
    first = month_window(now).start
    return ensure(period_start(first, MONTH, n) for n in range(MONTHS_AHEAD + 1))
