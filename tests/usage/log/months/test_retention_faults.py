"""Retiring a month while it is killed at any step, while somebody reads for long, and several times at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction

from tests.billing.waiting import IN_THIS_DATABASE, until
from tests.usage.histories import charge
from tests.usage.log.months import test_retention
from tests.usage.log.months.test_retention import JANUARY, NOW, at_ms, said_by_retiring, tables
from usage.log import store
from usage.log.copy_format import COLUMNS
from usage.log.months import exports, partitions, retention
from usage.models import RetiredMonth, UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
folder, january = test_retention.folder, test_retention.january
POINTS_AT_LEAST = 40
"""Before and after all that a run does to PostgreSQL and to the disk; fewer were not all of them."""


class Killed(BaseException):
    """The process ends here."""


class Killer:
    """Ends a run at its n-th point: before or after a statement, a sync or a rename."""

    def __init__(self, point: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = point
        monkeypatch.setattr(os, "fsync", self.around(os.fsync))
        monkeypatch.setattr(Path, "replace", self.around(Path.replace))

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def killable(*args: Any) -> Any:
            self._pass()
            done = function(*args)
            self._pass()
            return done

        return killable

    def statement(self, execute: Callable[..., Any], *rest: Any) -> Any:
        return self.around(execute)(*rest)

    def _pass(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


def killed(point: int, *, drop: bool) -> bool:
    """Retire, and be killed at that point; False when the run came to its end before it."""
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            killer = Killer(point, monkeypatch)
            with connection.execute_wrapper(killer.statement):
                said_by_retiring(drop=drop)
    except Killed:
        return True
    finally:
        connection.close()  # its transaction and its advisory locks end with a process
    return False


def whereabouts() -> set[str]:
    """Where all three rows of January are."""
    found, state, row = set(), tables().get(JANUARY), RetiredMonth.objects.first()
    if state is not None and rows(JANUARY) == rows("january"):
        found.add(state)
    if row is not None and exports.is_whole(Path(row.file), row.sha256):
        assert (row.rows, row.tokens) == exports._totals(Path(row.file)) == (3, 10)
        found.add("file")
    return found


def rows(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM {table} ORDER BY id")
        return cursor.fetchall()


@pytest.fixture
def again(january: Any, folder: Path) -> Iterator[Callable[[], None]]:
    """Brings January back as it was before it left."""

    def bring_back() -> None:
        for file in folder.glob("*"):
            file.unlink()
        RetiredMonth.objects.all().delete()
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {JANUARY}")
            partitions.ensure([NOW.replace(year=2004, month=1)])
            cursor.execute(f"INSERT INTO {JANUARY} SELECT * FROM january")

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE january AS SELECT * FROM {JANUARY}")
    yield bring_back
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE january")


@pytest.mark.parametrize(("drop", "stride"), [(True, 1), (False, 4)])
def test_killed_at_any_point_it_loses_nothing_and_the_next_run_goes_on(
    again: Callable[[], None], drop: bool, stride: int
) -> None:
    point = 1
    while killed(point, drop=drop):
        left = whereabouts()
        assert left & {"attached", "detached"} or (drop and left == {"file"}), f"lost by a kill at point {point}"
        said_by_retiring(drop=drop)
        assert whereabouts() == ({"file"} if drop else {"file", "detached"}), f"not done after a kill at {point}"
        assert (RetiredMonth.objects.get().left_at, tables().get(JANUARY) is None) == (NOW, drop)
        again()
        point += stride
    assert point > POINTS_AT_LEAST


@contextmanager
def reading() -> Iterator[Event]:
    """Somebody has read the log in a transaction that goes on, until the event is set."""
    begun, end = Event(), Event()

    def read() -> None:
        try:
            with transaction.atomic():
                UsageLog.objects.count()
                begun.set()
                end.wait()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        reader = thread.submit(read)
        try:
            begun.wait()
            yield end
        finally:
            end.set()
            reader.result()


def read_and_write() -> None:
    """Everything that goes on meanwhile: where it had to wait for a lock that the reader keeps, it would fail."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '2s'")
        store.store([charge(7, at_ms=at_ms(day)) for day in ("2004-02-10", "2004-03-10", "2004-04-10")])
        assert UsageLog.objects.filter(account=7).count() == 4
        cursor.execute("RESET lock_timeout")


def test_a_long_reader_makes_it_give_up_and_the_next_run_ends_it(january: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LOCK_WAIT", "50ms")
    with reading():
        with pytest.raises(retention.CannotRetire, match="more than 50ms"):
            said_by_retiring()
        assert tables()[JANUARY] == "pending"
        read_and_write()
        with pytest.raises(retention.CannotRetire):
            said_by_retiring()
    assert "3 rows, 10 tokens" in said_by_retiring()[0]
    assert tables()[JANUARY] == "detached"
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",), "what comes after on this connection waits as ever"


@pytest.mark.parametrize("end", ["the reader ends", "its connection is cut"])
def test_while_it_waits_for_a_reader_others_read_and_write(
    january: Any, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(retention, "LOCK_WAIT", "60s")

    def run() -> list[str]:
        try:
            return said_by_retiring()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread, reading() as end_of_reading:
        retiring = thread.submit(run)
        until(lambda: tables()[JANUARY] == "pending")
        read_and_write()
        if end == "its connection is cut":
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {IN_THIS_DATABASE} AND objid = %s",
                    [retention.LOCK],
                )
            with pytest.raises(OperationalError):
                retiring.result()
            assert tables()[JANUARY] == "pending"
        end_of_reading.set()
        said = said_by_retiring() if end == "its connection is cut" else retiring.result()
    assert "3 rows, 10 tokens" in said[0]
    assert tables()[JANUARY] == "detached"


def test_several_at_once_are_one(january: Any) -> None:
    start = Barrier(5)

    def run(_: int) -> list[str]:
        try:
            connection.ensure_connection()
            start.wait()
            return said_by_retiring(drop=True)
        except retention.AnotherRun:
            return []
        finally:
            connections.close_all()

    with ThreadPoolExecutor(5) as threads:
        said = [line for lines in threads.map(run, range(5)) for line in lines]
    assert len(said) == 1
    assert JANUARY not in tables()


def test_the_second_one_says_that_it_did_nothing(january: Any) -> None:
    with retention._alone(), pytest.raises(retention.AnotherRun, match="nothing was done"):
        test_retention.in_a_thread(said_by_retiring)
    assert tables()[JANUARY] == "attached"
