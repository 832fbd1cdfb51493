"""The audit log's monthly partitions: made ahead of time or on the spot, and closed for good when a month leaves."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max

from billing.periods import MONTH, month_window, period_start
from usage.models import RetiredMonth

TABLE = "usage_usagelog"
LOCK = 0x9A27
SINCE_EVER = datetime.min.replace(tzinfo=UTC)


class MonthLeft(Exception):
    """The event's month has left the log: stored again it could be counted twice, since nothing tells it apart."""


def name(month: datetime) -> str:
    return f"{TABLE}_{month_window(month).start:%Y_%m}"


def oldest_kept() -> datetime:
    """Since when the log is whole. Rows of calls before this instant have left it; the year 1 when none ever has."""
    newest = RetiredMonth.objects.aggregate(newest=Max("starts_at"))["newest"]
    return SINCE_EVER if newest is None else month_window(newest).end


def believable(charged_at: datetime, now: datetime, written_at: datetime) -> bool:
    """Whether an event can have been charged then that was written into its stream at `written_at`, and is read `now`.

    In whole months: as long before it as the log is kept, and no further after it than partitions are made. Anything
    else is a broken clock's, and would leave a partition behind. Either clock may be wrong, so the kinder one counts.
    """
    earliest = _number(min(now, written_at)) - settings.USAGE_LOG_MONTHS
    latest = _number(max(now, written_at)) + settings.USAGE_LOG_MONTHS_AHEAD
    return earliest <= _number(charged_at) <= latest


def _number(at: datetime) -> int:
    """Months count on, so that their sums never leave the calendar."""
    return at.year * 12 + at.month


def ensure(instants: Iterable[datetime]) -> list[str]:
    """Make the partitions these instants fall into where they are missing; returns the names of those it made.

    The new table is filled with the parent's shape first and then attached, which never blocks readers or the drain.
    Raises MonthLeft rather than make one again that has left.
    """
    months = {month_window(instant) for instant in instants}
    made: list[str] = []
    if {name(month.start) for month in months} <= _present():
        return made
    with transaction.atomic(), connection.cursor() as cursor:
        # Of two drains in a new month one makes the partition, and the other one finds it. None is closed meanwhile.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        present, kept_since = _present(), oldest_kept()
        for month in sorted(months, key=lambda window: window.start):
            if (table := name(month.start)) in present:
                continue
            if month.start < kept_since:
                raise MonthLeft(f"{month.start:%Y-%m} has left the usage log, which starts with {kept_since:%Y-%m}")
            cursor.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                f" ALTER TABLE {TABLE} ATTACH PARTITION {table}"
                f" FOR VALUES FROM ('{month.start.isoformat()}') TO ('{month.end.isoformat()}')"
            )
            made.append(table)
    return made


def close(month: datetime) -> RetiredMonth:
    """From now on the log takes no event of this month or of one before it. What it holds stays, for the present."""
    with transaction.atomic(), connection.cursor() as cursor:
        # Whoever makes partitions now is waited for, and whoever comes later sees the month closed.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        return RetiredMonth.objects.get_or_create(starts_at=month_window(month).start)[0]


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
    return ensure(period_start(first, MONTH, n) for n in range(settings.USAGE_LOG_MONTHS_AHEAD + 1))
