"""The log's monthly partitions: ahead of time, on the spot, by two drains at once, and never again once closed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import StringIO
from threading import Barrier
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from freezegun import freeze_time

from tests.usage.histories import charge, put, sums
from usage.drain import drain
from usage.log import store
from usage.log.months import partitions
from usage.models import RetiredMonth, SetAsideEntry, UsageLog


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at_ms(text: str) -> int:
    return round(at(text).timestamp() * 1000)


def months(*texts: str) -> list[datetime]:
    return [at(text) for text in texts]


@pytest.fixture
def drop() -> Callable[..., None]:
    """Takes partitions away; tables outlive a test that commits."""

    def away(*names: str) -> None:
        with connection.cursor() as cursor:
            for name in names:
                cursor.execute(f"DROP TABLE IF EXISTS {name}")

    return away


@pytest.mark.django_db
def test_each_month_is_made_once() -> None:
    first, second = "usage_usagelog_2041_02", "usage_usagelog_2041_03"
    assert partitions.ensure(months("2041-02-28", "2041-02-01")) == [first]
    assert partitions.ensure(months("2041-02-01", "2041-03-31")) == [second]
    assert partitions.ensure(months("2041-02-01", "2041-03-31")) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("instant", "table"),
    [
        ("2041-12-31T23:59:59.999999+00:00", "usage_usagelog_2041_12"),
        ("2042-01-01T00:00:00+00:00", "usage_usagelog_2042_01"),
        ("2042-01-01T01:00:00+02:00", "usage_usagelog_2041_12"),
        ("1970-01-01T00:00:00+00:00", "usage_usagelog_1970_01"),
    ],
)
def test_months_are_those_of_utc(instant: str, table: str) -> None:
    assert partitions.ensure([datetime.fromisoformat(instant)]) == [table]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ahead", "months"), [(1, ["2041_11", "2041_12"]), (3, ["2041_11", "2041_12", "2042_01", "2042_02"])]
)
def test_the_coming_months_are_made_ahead(settings: Any, ahead: int, months: list[str]) -> None:
    settings.USAGE_LOG_MONTHS_AHEAD = ahead
    made = partitions.ensure_ahead(datetime(2041, 11, 30, 23, 59, tzinfo=UTC))
    assert made == [f"usage_usagelog_{month}" for month in months]


@pytest.mark.django_db
def test_the_command_makes_them_and_says_which(settings: Any) -> None:
    settings.USAGE_LOG_MONTHS_AHEAD = 1
    answers = []
    with freeze_time("2041-12-31T23:59:59.999Z"):
        for _ in range(2):
            call_command("make_partitions", stdout=(out := StringIO()))
            answers.append(out.getvalue())
    assert answers == ["made usage_usagelog_2041_12, usage_usagelog_2042_01\n", "every partition is there\n"]


@pytest.mark.django_db
def test_a_partition_is_guarded_and_keyed_like_its_parent() -> None:
    partitions.ensure(months("2041-05-01"))
    with connection.cursor() as cursor:
        cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'usage_usagelog_2041_05'::regclass")
        assert ("append_only",) in cursor.fetchall()
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'usage_usagelog_2041_05'::regclass")
        assert cursor.fetchone() == (2,)


@pytest.mark.django_db(transaction=True)
def test_two_drains_that_meet_a_new_month_make_it_once(drop: Callable[..., None]) -> None:
    drop("usage_usagelog_2041_07", "usage_usagelog_2041_08")
    start = Barrier(6)

    def drain(_: int) -> list[str]:
        try:
            connection.ensure_connection()
            start.wait()
            with transaction.atomic():
                return partitions.ensure(months("2041-07-01", "2041-08-01"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        made = sorted(threads.map(drain, range(6)))
    assert made == [[]] * 5 + [["usage_usagelog_2041_07", "usage_usagelog_2041_08"]]
    drop("usage_usagelog_2041_07", "usage_usagelog_2041_08")


@pytest.mark.django_db(transaction=True)
def test_a_months_first_second_finds_no_partition_and_stops_no_drain(drop: Callable[..., None]) -> None:
    drop("usage_usagelog_2041_09", "usage_usagelog_2041_10")
    midnight = at_ms("2041-10-01")
    accounts = range(100, 106)  # a shard each
    for account in accounts:
        put(*(charge(account, at_ms=when) for when in (midnight - 1, midnight, midnight + 999)), shard=account % 64)
    start = Barrier(len(accounts))

    def drain_one(account: int) -> int:
        try:
            connection.ensure_connection()
            start.wait()
            return drain.drain_shards([account % 64]).entries
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(accounts)) as threads:
        assert list(threads.map(drain_one, accounts)) == [3] * len(accounts)
    assert [sums(account) for account in accounts] == [{30}] * len(accounts)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM usage_usagelog_2041_10")
        assert cursor.fetchone() == (12,)
    drop("usage_usagelog_2041_09", "usage_usagelog_2041_10")


@pytest.mark.django_db
class TestClosed:
    """A month that leaves: it and all months before it are never made again."""

    def test_the_log_is_whole_until_a_month_is_closed(self) -> None:
        assert partitions.oldest_kept() == datetime.min.replace(tzinfo=UTC)
        partitions.close(datetime(2003, 12, 31, 23, 59, tzinfo=UTC))
        assert partitions.oldest_kept() == datetime(2004, 1, 1, tzinfo=UTC)
        partitions.close(datetime(2003, 1, 1, tzinfo=UTC))
        assert partitions.oldest_kept() == datetime(2004, 1, 1, tzinfo=UTC)

    def test_closed_twice_is_closed_once(self) -> None:
        assert partitions.close(*months("2003-12-01")).closed_at == partitions.close(*months("2003-12-31")).closed_at
        assert RetiredMonth.objects.count() == 1

    @pytest.mark.parametrize(("month", "left"), [("2003-11-30", True), ("2003-12-31", True), ("2004-01-01", False)])
    def test_it_is_not_made_again(self, month: str, left: bool) -> None:
        partitions.close(*months("2003-12-01"))
        try:
            assert partitions.ensure(months(month)) and not left
        except partitions.MonthLeft as error:
            assert left and "starts with 2004-01" in str(error)

    def test_while_it_is_still_there_its_rows_are_read_and_known(self) -> None:
        event = charge(7, at_ms=at_ms("2003-12-05"))
        store.store([event])
        partitions.close(*months("2003-12-01"))
        store.store([event])
        assert (UsageLog.objects.count(), sums(7)) == (1, {10})


@pytest.mark.django_db
class TestTaken:
    """Which charges the log takes: none of a month that has left, none that no clock can explain."""

    @pytest.fixture(autouse=True)
    def thirteen_months_back_and_three_ahead(self, settings: Any) -> None:
        settings.USAGE_LOG_MONTHS, settings.USAGE_LOG_MONTHS_AHEAD = 13, 3

    @pytest.mark.parametrize(
        ("charged_at", "taken"),
        [
            ("2040-02-29T23:59:59.999", False),
            ("2040-03-01T00:00:00", True),
            ("2041-04-10T00:00:00", True),
            ("2041-07-31T23:59:59.999", True),
            ("2041-08-01T00:00:00", False),
            ("1970-01-01T00:00:00", False),
            ("2099-01-01T00:00:00", False),
            ("9998-12-31T23:59:59.999", False),
        ],
    )
    def test_whole_months_around_the_clock(self, charged_at: str, taken: bool) -> None:
        assert (
            bool(partitions.accepted_range([at_ms("2041-04-30T23:59:59.999")]).refusal(at_ms(charged_at))) is not taken
        )

    @pytest.mark.parametrize("wrong", ["1970-01-01T00:00:00", "2200-01-01T00:00:00", "9998-12-31T23:59:59.999"])
    def test_a_clock_that_is_wrong_by_itself_refuses_nothing(self, wrong: str) -> None:
        taken = partitions.accepted_range([at_ms(wrong), at_ms("2041-04-10")])
        assert [taken.refusal(at_ms(day)) for day in ("2041-04-10", "2040-03-01", "2041-07-31")] == ["", "", ""]

    @pytest.mark.parametrize("clock", [0, 2**64 - 1])
    def test_the_calendars_ends(self, clock: int) -> None:
        taken = partitions.accepted_range([clock])
        assert taken.since_ms < taken.until_ms

    @pytest.mark.parametrize(
        ("charged_at", "why"), [("2001-01-05", "the usage log starts with 20"), ("2099-01-01", "a clock is wrong")]
    )
    def test_the_drain_sets_the_others_aside_and_goes_on(self, charged_at: str, why: str) -> None:
        good, odd = (charge(7, at_ms=when) for when in (time.time_ns() // 1_000_000, at_ms(charged_at)))
        put(odd, good, odd.voided(good.at_ms), shard=7)
        assert drain.drain() == drain.Drained(3, 2)
        assert (sums(7), drain.backlog()) == ({10}, {})
        entries = SetAsideEntry.objects.order_by("stream_id")
        assert [bytes(entry.payload) for entry in entries] == [odd.encode(), odd.voided(good.at_ms).encode()]
        assert all(why in entry.error for entry in entries)
        assert partitions.ensure([at(charged_at)]), "no partition was made for it"
