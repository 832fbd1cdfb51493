"""Months that leave the usage log: closed, exported, detached, their export proven, and dropped where that is wanted.

Every step can be the last one of a process; the next run finds the state in PostgreSQL and goes on. A table is dropped
only after the file on the disk was compared with it, when nothing can be added to it any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

from billing.postgres.session_locks import ending_on_failure
from billing.rules.periods import MONTH, month_window, period_start
from usage.log.months import exports, partitions
from usage.log.months.exports import ExportError
from usage.log.reservation_facts import EXPIRED, RELEASED, SETTLED
from usage.models import Reservation, RetiredMonth

LOCK = 0x9A28
"""Of PostgreSQL's advisory locks: one retirement at a time."""
LOCK_WAIT = "5s"
"""Nobody queues behind a retirement for longer. Its own locks never stand in the way of an insert or a query."""
RESERVATIONS_AT_ONCE = 10_000

TABLES = """
SELECT child.relname, inhrelid IS NOT NULL, coalesce(inhdetachpending, false), pg_total_relation_size(child.oid)
FROM pg_class log
JOIN pg_class child ON child.relnamespace = log.relnamespace AND child.relkind = 'r'
LEFT JOIN pg_inherits ON inhrelid = child.oid AND inhparent = log.oid
WHERE log.oid = %s::regclass AND child.relname ~ ('^' || %s || '_[0-9]{4}_[0-9]{2}$')
"""


class AnotherRun(Exception):
    """Another process is retiring months at this moment."""


class CannotRetire(Exception):
    """A month has to stay for now; the text says why and what to do. Nothing is lost."""


@dataclass(frozen=True, slots=True)
class Due:
    """A month's table that a run has something to do with. `pending`: a run died while it was detaching it."""

    table: str
    month: datetime
    attached: bool
    pending: bool
    size: int

    def __str__(self) -> str:
        what = "export and detach" if self.attached else "detached already: prove the export"
        return f"{self.month:%Y-%m}  {self.table}, {self.size / 1_000_000:,.1f} MB: {what}"


def due(now: datetime, *, drop: bool) -> list[Due]:
    """Tables of months that are over for longer than the log is kept, and those that earlier runs have left behind."""
    known = {row.starts_at: row for row in RetiredMonth.objects.all()}
    with connection.cursor() as cursor:
        # A machine whose clock is years ahead must not empty the log.
        cursor.execute("SELECT now()")
        kept_from = _kept_from(min(now, cursor.fetchall()[0][0]))
        cursor.execute(TABLES, [partitions.TABLE, partitions.TABLE])
        found = cursor.fetchall()
    tables = []
    for table, attached, pending, size in found:
        month = datetime.strptime(re.sub(r"\D+", "", table), "%Y%m").replace(tzinfo=UTC)
        row = known.get(month)
        left_behind = row is not None and not attached and (drop or row.left_at is None)
        if pending or left_behind or (attached and month < kept_from):
            tables.append(Due(table, month, attached, pending, size))
    # PostgreSQL detaches no second partition while one is half detached.
    return sorted(tables, key=lambda each: (not each.pending, each.month))


def retire(now: datetime, report: Callable[[str], None], *, drop: bool) -> int:
    """Retire every month that is due; returns how many. `report` is told of each.

    Raises AnotherRun, CannotRetire.
    """
    with _alone():
        months = due(now, drop=drop)
        # Its charge is in the log; a row beside it is for looking at.
        _delete_reservations(_kept_from(now))
        for each in months:
            try:
                report(_retire(each, now, drop=drop))
            except ExportError as error:
                raise CannotRetire(f"{each.month:%Y-%m} stays: {error}") from error
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                raise CannotRetire(
                    f"{each.month:%Y-%m} is not done: a transaction has been using the log for more than {LOCK_WAIT}"
                    " (pg_stat_activity shows it by its xact_start). Run this again; it goes on where it was"
                ) from error
    return len(months)


def _delete_reservations(before: datetime) -> None:
    """Those that were finished before, some at a time."""
    ended = Reservation.objects.filter(state__in=[SETTLED, RELEASED, EXPIRED])
    while some := [*ended.filter(finished_at__lt=before).values_list("pk", flat=True)[:RESERVATIONS_AT_ONCE]]:
        Reservation.objects.filter(pk__in=some).delete()


def _retire(due: Due, now: datetime, *, drop: bool) -> str:
    row = partitions.close(due.month)
    if due.attached:
        if not due.pending and not exports.is_whole(Path(row.file), row.sha256):
            _export(row, due.table)
        _detach(due)
    _prove(row, due.table)
    if row.left_at is None:
        row.left_at = now
        row.save()
    with connection.cursor() as cursor:
        if drop:
            cursor.execute(f"DROP TABLE {due.table}")
        else:
            # A partition loses its parent's triggers when it leaves.
            cursor.execute(
                f"CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON {due.table}"
                " FOR EACH ROW EXECUTE FUNCTION usage_log_append_only()"
            )
    kept = "dropped" if drop else f"kept beside the log as {due.table}"
    return f"{due.month:%Y-%m}  {row.rows:,} rows, {row.tokens:,} tokens, exported to {row.file}; {kept}"


def _export(row: RetiredMonth, table: str) -> None:
    export = exports.write(table, settings.USAGE_LOG_EXPORTS)
    row.file, row.sha256, row.rows, row.tokens = str(export.file), export.sha256, export.rows, export.tokens
    row.save()


def _detach(due: Due) -> None:
    """Readers and writers go on: only transactions that are older are waited for. Killed here, it is `pending` next."""
    how = "FINALIZE" if due.pending else "CONCURRENTLY"
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {partitions.TABLE} DETACH PARTITION {due.table} {how}")


def _prove(row: RetiredMonth, table: str) -> None:
    """Leave no doubt that the file holds the detached table: what a drain added meanwhile is exported, too."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*), coalesce(sum(tokens), 0) FROM {table}")
        totals = cursor.fetchall()[0]
    if totals != (row.rows, row.tokens) or not exports.is_whole(Path(row.file), row.sha256):
        _export(row, table)
    if totals != (row.rows, row.tokens):
        raise ExportError(f"{row.file} holds {row.rows} rows, and {table} {totals[0]}: somebody writes to one of them")


def _kept_from(now: datetime) -> datetime:
    return period_start(month_window(now).start, MONTH, -settings.USAGE_LOG_MONTHS)


@contextmanager
def _alone() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if cursor.fetchone() != (True,):
            raise AnotherRun("another run retires months at this moment; nothing was done")
        try:
            cursor.execute(f"SET lock_timeout = '{LOCK_WAIT}'; SET statement_timeout = 0")
            yield
        finally:
            with ending_on_failure():
                cursor.execute("RESET lock_timeout; RESET statement_timeout")
                cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
