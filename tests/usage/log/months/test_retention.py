"""Months that leave the log: exported whole, detached while others read and write, and never counted again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import Sum

from ratelimit.keys import stream
from ratelimit.store import client
from tests.usage.histories import charge
from usage.drain import drain
from usage.log import store
from usage.log.events import Event
from usage.log.months import exports, partitions, retention
from usage.models import DailyUsage, RetiredMonth, SetAsideEntry, UsageLog

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2005, 3, 15, 12, tzinfo=UTC)
"""With 13 months kept, February 2004 is the oldest of them: January leaves."""
JANUARY, FEBRUARY = "usage_usagelog_2004_01", "usage_usagelog_2004_02"


def at_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def said_by_retiring(now: datetime = NOW, *, drop: bool = False) -> list[str]:
    said: list[str] = []
    retention.retire(now, said.append, drop=drop)
    return said


def tables() -> dict[str, str]:
    """The months' tables, and what each is."""
    with connection.cursor() as cursor:
        cursor.execute(retention.TABLES, [partitions.TABLE] * 2)
        return {
            name: "pending" if pending else "attached" if attached else "detached"
            for name, attached, pending, _ in cursor.fetchall()
        }


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchall()[0][0])


@pytest.fixture(autouse=True)
def folder(settings: Any, tmp_path: Path) -> Iterator[Path]:
    """Where exports go. Tables outlive a test that commits, in whichever file it is."""
    settings.USAGE_LOG_EXPORTS = tmp_path / "exports"
    drop_tables()
    yield settings.USAGE_LOG_EXPORTS
    drop_tables()


def drop_tables() -> None:
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f"DROP TABLE {table}")


@pytest.fixture
def january() -> list[Event]:
    """Two charges and a void in the month that leaves, and one charge in that which stays."""
    first, second = charge(7, at_ms=at_ms("2004-01-01")), charge(8, 3, at_ms=at_ms("2004-01-31T23:59:59.999"))
    events = [first, second, second.voided(second.at_ms)]
    store.store([*events, charge(7, at_ms=at_ms("2004-02-01"))])
    return events


class TestDue:
    @pytest.mark.parametrize(
        ("now", "months", "leaving"),
        [
            ("2005-02-28T23:59:59.999999", 13, []),
            ("2005-03-01", 13, [JANUARY]),
            ("2005-03-31T23:59:59.999999", 13, [JANUARY]),
            ("2005-04-01", 13, [JANUARY, FEBRUARY]),
            ("2004-03-01", 1, [JANUARY]),
            ("2004-02-29T23:59:59", 1, []),
            ("2005-04-01", 14, [JANUARY]),
        ],
    )
    def test_whole_months_are_kept(
        self, january: list[Event], settings: Any, now: str, months: int, leaving: list[str]
    ) -> None:
        settings.USAGE_LOG_MONTHS = months
        due = retention.due(datetime.fromisoformat(now).replace(tzinfo=UTC), drop=False)
        assert [each.table for each in due] == leaving

    def test_a_clock_that_is_years_ahead_does_not_empty_the_log(self) -> None:
        now = datetime.now(UTC)
        store.store([charge(7, at_ms=round(now.timestamp() * 1000))])
        assert said_by_retiring(datetime(9000, 1, 1, tzinfo=UTC)) == []
        assert tables() == {partitions.name(now): "attached"}

    def test_other_tables_are_none_of_its_business(self, january: list[Event]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE usage_usagelog_2003_01 (LIKE usage_usagelog)")
        assert [each.table for each in retention.due(NOW, drop=True)] == [JANUARY]


def test_a_month_leaves_and_every_sum_stays(january: list[Event], folder: Path) -> None:
    columns = ("account_id", "date", "tokens", "calls")
    days = list(DailyUsage.objects.order_by(*columns).values_list(*columns))
    (said,) = said_by_retiring()
    assert (
        said == f"2004-01  3 rows, 10 tokens, exported to {folder}/{JANUARY}.csv.gz; kept beside the log as {JANUARY}"
    )
    assert tables() == {JANUARY: "detached", FEBRUARY: "attached"}
    assert UsageLog.objects.aggregate(tokens=Sum("tokens"))["tokens"] == 10
    assert days == list(DailyUsage.objects.order_by(*columns).values_list(*columns))
    assert partitions.oldest_kept() == datetime(2004, 2, 1, tzinfo=UTC)
    row = RetiredMonth.objects.get()
    assert (row.rows, row.tokens, row.left_at) == (3, 10, NOW)
    assert exports.is_whole(Path(row.file), row.sha256)
    assert said_by_retiring() == [], "once is enough"


def test_what_is_kept_beside_the_log_is_append_only_too(january: list[Event]) -> None:
    said_by_retiring()
    with pytest.raises(Exception, match="append-only"), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {JANUARY}")


class TestDrop:
    def test_at_once(self, january: list[Event]) -> None:
        (said,) = said_by_retiring(drop=True)
        assert said.endswith("; dropped")
        assert tables() == {FEBRUARY: "attached"}
        assert said_by_retiring(drop=True) == []

    def test_later(self, january: list[Event]) -> None:
        said_by_retiring()
        (said,) = said_by_retiring(drop=True)
        assert said.endswith("; dropped")
        assert tables() == {FEBRUARY: "attached"}

    @pytest.mark.parametrize("loss", [Path.unlink, lambda file: file.write_bytes(file.read_bytes()[:-1])])
    def test_never_without_the_file(self, january: list[Event], loss: Callable[[Path], Any]) -> None:
        said_by_retiring()
        loss(Path(RetiredMonth.objects.get().file))
        said_by_retiring(drop=True)
        row = RetiredMonth.objects.get()
        assert exports.is_whole(Path(row.file), row.sha256), "it was exported again"
        assert tables() == {FEBRUARY: "attached"}

    def test_never_while_the_table_holds_other_rows_than_the_file(
        self, january: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def export_less(table: str, folder: Path) -> exports.Export:
            return exports.Export(folder, 2, 10, "0" * 64)

        monkeypatch.setattr(exports, "write", export_less)
        with pytest.raises(retention.CannotRetire, match="2 rows, and usage_usagelog_2004_01 3"):
            said_by_retiring(drop=True)
        monkeypatch.undo()
        assert count(JANUARY) == 3


def test_what_a_drain_adds_while_it_is_exported_is_exported_too(
    january: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain that looked before the month was closed, and inserts after it was exported."""
    detach = retention._detach

    def insert_first(due: retention.Due) -> None:
        store.store([charge(9, 5, at_ms=at_ms("2004-01-20"))])
        detach(due)

    monkeypatch.setattr(retention, "_detach", insert_first)
    assert "4 rows, 15 tokens" in said_by_retiring(drop=True)[0]
    row = RetiredMonth.objects.get()
    assert exports.read_back(Path(row.file)) == (f"{JANUARY}_restored", 4)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {JANUARY}_restored")


@pytest.mark.parametrize("hindrance", ["a file", "no folder"])
def test_an_export_that_cannot_be_written_leaves_the_log_as_it_is(
    january: list[Event], folder: Path, settings: Any, hindrance: str
) -> None:
    if hindrance == "a file":
        folder.write_text("not a folder")
    else:
        settings.USAGE_LOG_EXPORTS = Path("/proc/none")
    with pytest.raises(retention.CannotRetire, match="USAGE_LOG_EXPORTS"):
        said_by_retiring()
    assert tables() == {JANUARY: "attached", FEBRUARY: "attached"}
    assert UsageLog.objects.count() == 4


class TestRedelivery:
    """A stream entry of a month that has left: nothing tells whether it was counted."""

    @pytest.mark.parametrize("drop", [False, True])
    def test_it_is_set_aside_and_not_counted_again(self, january: list[Event], drop: bool) -> None:
        before = sums_kept()
        said_by_retiring(drop=drop)
        written_then(january[0], january[1].voided(1), charge(7, 5, at_ms=at_ms("2004-02-01")))
        assert drain.drain() == drain.Drained(3, 2)
        assert sums_kept() == before + 5
        assert "starts with 2004-02" in SetAsideEntry.objects.earliest("pk").error
        assert JANUARY not in tables() or tables()[JANUARY] == "detached"

    def test_a_month_that_leaves_between_the_look_and_the_insert(
        self, january: list[Event], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = sums_kept()
        written_then(january[0])
        ensure = partitions.ensure

        def retire_after_the_look(instants: Any) -> list[str]:
            instants = list(instants)
            made = ensure(instants)
            if not RetiredMonth.objects.exists():
                in_a_thread(said_by_retiring)
            return made

        monkeypatch.setattr(partitions, "ensure", retire_after_the_look)
        monkeypatch.setattr(retention, "LOCK_WAIT", "50ms")
        assert drain.drain() == drain.Drained(1, 1)
        assert (sums_kept(), drain.backlog(), tables()[JANUARY]) == (before, {}, "detached")


def written_then(*events: Event) -> None:
    """Into a stream whose entries are as old as their charges, so that no clock speaks against them."""
    for event in events:
        client().xadd(stream(7), {"e": event.encode()}, id=f"{event.charged_at_ms}-*")


def sums_kept() -> int:
    return int(DailyUsage.objects.aggregate(tokens=Sum("tokens"))["tokens"])


def in_a_thread(function: Callable[[], Any]) -> Any:
    def call() -> Any:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(call).result()
