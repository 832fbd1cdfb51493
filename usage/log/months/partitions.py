"""The audit log's monthly partitions: made ahead of time or on the spot, and closed for good when a month leaves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import Max
from psycopg.errors import CheckViolation

from billing.rules.instants import from_ms, to_ms
from billing.rules.periods import MONTH, month_window, period_start
from usage.log.events import LATEST_MS
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


class AcceptedRange(NamedTuple):
    """The charges that the log takes now, by their instant in Unix milliseconds: [since, until)."""

    since_ms: int
    until_ms: int

    def refusal(self, charged_at_ms: int) -> str:
        """Why the log does not take an event of a charge made then; "" when it does."""
        if self.since_ms <= charged_at_ms < self.until_ms:
            return ""
        charged_at = from_ms(charged_at_ms)
        if charged_at_ms < self.since_ms:
            since = from_ms(self.since_ms)
            return f"charged at {charged_at}, and the usage log starts with {since:%Y-%m}: it may have been counted"
        return f"charged at {charged_at}, which is yet to come: a clock is wrong"


def accepted_range(clocks_ms: Iterable[int]) -> AcceptedRange:
    """What the log takes, given the instants at which events were written and are read; in Unix milliseconds.

    Nothing of a month that has left, since nothing would tell a redelivered event from a new one. Nothing that lies
    before those instants by more than the log is kept, or after them by more than partitions are made ahead: that is
    a broken clock's. Any of these clocks may be wrong itself, so the kindest one counts.
    """
    clocks = [from_ms(min(clock, LATEST_MS)) for clock in clocks_ms]
    since = max(_months_after(min(clocks), -settings.USAGE_LOG_MONTHS), oldest_kept())
    until = _months_after(max(clocks), settings.USAGE_LOG_MONTHS_AHEAD + 1)
    return AcceptedRange(to_ms(since), to_ms(until))


def _months_after(at: datetime, months: int) -> datetime:
    """The start of a month, within the calendar."""
    year, month0 = divmod(at.year * 12 + at.month - 1 + months, 12)
    return datetime(min(max(year, MINYEAR), MAXYEAR), month0 + 1, 1, tzinfo=UTC)


@contextmanager
def month_left() -> Iterator[None]:
    """MonthLeft where PostgreSQL finds no partition: its month has left since `ensure` has looked for it."""
    try:
        yield
    except (IntegrityError, CheckViolation) as error:
        if not isinstance(error, CheckViolation) and not isinstance(error.__cause__, CheckViolation):
            raise
        raise MonthLeft(str(error)) from error


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
