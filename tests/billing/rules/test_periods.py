"""Periods: worked cases of other billing systems, the edges of the calendar, and law L7 (periods tile time)."""

import json
from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.periods import (
    INTERVALS,
    MONTH,
    QUARTER,
    YEAR,
    Interval,
    IntervalUnit,
    Period,
    as_utc,
    month_window,
    nth_period,
    period_at,
    period_start,
)

CASES = json.loads((Path(__file__).parent / "vectors" / "periods.json").read_text())
# The sequences begin with the period after the anchor's, except these.
FIRST_INDEX = {"P-KO-01": 0, "P-OM-03": 0, "P-AU-02": 4, "P-AU-06": 2}

TICK = timedelta(microseconds=1)
INTERVALS_TRIED = st.one_of(
    st.sampled_from([MONTH, QUARTER, YEAR]),
    st.builds(Interval, st.just(IntervalUnit.MONTH), st.integers(1, 48)),
    st.builds(Interval, st.just(IntervalUnit.YEAR), st.integers(1, 4)),
)
INSTANTS = st.datetimes(
    datetime.fromisoformat("1900-01-01"), datetime.fromisoformat("2200-01-01"), timezones=st.just(UTC)
)
ANCHORS = st.one_of(
    INSTANTS,
    # The days that months lack, far more often than chance gives them.
    INSTANTS.map(lambda at: at.replace(day=monthrange(at.year, at.month)[1])),
    st.sampled_from([datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2000, 2, 29, tzinfo=UTC)]),
)


def utc(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def interval_of(text: str) -> Interval:
    words = text.partition(" (")[0].split()
    return INTERVALS[words[0]] if len(words) == 1 else Interval(IntervalUnit.MONTH, int(words[0]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_vector(case: dict[str, Any]) -> None:
    anchor, interval = utc(case["anchor"]), interval_of(case["interval"])
    first = FIRST_INDEX.get(case["id"], 1)
    for n, expected in enumerate(map(utc, case["sequence_of_expected_period_starts"]), start=first):
        assert period_start(anchor, interval, n) == expected
        assert nth_period(anchor, interval, n - 1).end == expected
        assert period_at(anchor, interval, expected) == (n, nth_period(anchor, interval, n))
        assert period_at(anchor, interval, expected - TICK)[0] == n - 1


def test_anchor_on_the_31st_through_a_year() -> None:
    anchor = datetime(2025, 1, 31, tzinfo=UTC)
    days = [period_start(anchor, MONTH, n).day for n in range(13)]
    assert days == [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31]


def test_anchor_on_29_february_by_year_returns_to_it() -> None:
    anchor = datetime(2096, 2, 29, tzinfo=UTC)
    starts = [period_start(anchor, YEAR, n).date().isoformat() for n in (0, 1, 4, 8)]
    assert starts == ["2096-02-29", "2097-02-28", "2100-02-28", "2104-02-29"]


def test_periods_go_on_before_the_anchor_with_negative_indexes() -> None:
    anchor = datetime(2025, 3, 31, 10, tzinfo=UTC)
    assert period_at(anchor, MONTH, anchor - TICK) == (
        -1,
        Period(datetime(2025, 2, 28, 10, tzinfo=UTC), anchor),
    )


def test_anchor_day_is_read_in_utc() -> None:
    anchor = datetime(2025, 2, 1, 1, tzinfo=timezone(timedelta(hours=2)))
    assert period_start(anchor, MONTH, 1) == datetime(2025, 2, 28, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "start", "end"),
    [
        ("2024-02-01T00:00:00", "2024-02-01", "2024-03-01"),
        ("2024-02-29T23:59:59.999999", "2024-02-01", "2024-03-01"),
        ("2024-03-01T00:00:00", "2024-03-01", "2024-04-01"),
        ("2025-12-31T23:59:59.999999", "2025-12-01", "2026-01-01"),
        ("2026-01-01T00:30:00+01:00", "2025-12-01", "2026-01-01"),
    ],
)
def test_month_window(at: str, start: str, end: str) -> None:
    assert month_window(utc(at)) == Period(utc(start), utc(end))


def test_period_contains_its_start_and_not_its_end() -> None:
    period = Period(utc("2025-10-01T10:00:00"), utc("2025-10-31T10:00:00"))
    assert [period.contains(period.start + d) for d in (-TICK, timedelta(), TICK)] == [False, True, True]
    assert [period.contains(period.end + d) for d in (-TICK, timedelta(), TICK)] == [True, False, False]


@pytest.mark.parametrize(
    ("at", "remaining"),
    [
        ("2025-09-01T00:00:00", 30),
        ("2025-09-30T23:59:59.999999", 30),
        ("2025-10-01T00:00:00", 30),
        ("2025-10-01T23:59:59.999999", 30),
        ("2025-10-02T00:00:00", 29),
        ("2025-10-16T12:00:00", 15),
        ("2025-10-30T23:59:59.999999", 1),
        ("2025-10-31T00:00:00", 0),
        ("2026-10-31T00:00:00", 0),
        ("2025-10-16T01:00:00+02:00", 16),
    ],
)
def test_days_remaining_by_utc_date_today_included(at: str, remaining: int) -> None:
    period = Period(utc("2025-10-01"), utc("2025-10-31"))
    assert (period.days_remaining(utc(at)), period.days_total) == (remaining, 30)


def test_days_of_a_period_that_starts_within_a_day() -> None:
    period = Period(utc("2026-01-31T10:00:00"), utc("2026-02-28T10:00:00"))
    assert period.days_total == 28
    assert period.days_remaining(period.start) == 28


@pytest.mark.parametrize(
    ("at", "remaining"),
    [
        ("2025-12-01T10:00:00", 31),
        ("2025-12-01T23:59:59.999999", 31),
        ("2025-12-31T23:59:59.999999", 1),
        ("2026-01-01T00:00:00", 1),
        ("2026-01-01T09:59:59.999999", 1),
        ("2026-01-01T10:00:00", 0),
        ("2026-01-01T10:00:00.000001", 0),
        ("2026-01-02T00:00:00", 0),
    ],
)
def test_today_remains_until_the_period_has_ended(at: str, remaining: int) -> None:
    period = Period(utc("2025-12-01T10:00:00"), utc("2026-01-01T10:00:00"))
    assert (period.days_remaining(utc(at)), period.days_total) == (remaining, 31)


def test_seconds_are_exact_and_clamped() -> None:
    period = Period(utc("2025-10-01"), utc("2025-10-02"))
    assert period.seconds_total == 86_400
    assert period.seconds_remaining(period.start - TICK) == 86_400
    assert period.seconds_remaining(period.start + TICK) == 86_400 - Fraction(1, 1_000_000)
    assert period.seconds_remaining(period.end - TICK) == Fraction(1, 1_000_000)
    assert period.seconds_remaining(period.end + TICK) == 0


@pytest.mark.parametrize("seconds", [-1, 0])
def test_period_that_does_not_start_before_it_ends_is_refused(seconds: int) -> None:
    start = utc("2025-10-01")
    with pytest.raises(ValueError, match="starts before it ends"):
        Period(start, start + timedelta(seconds=seconds))


def test_naive_datetimes_are_refused() -> None:
    naive, aware = datetime(2025, 10, 1), utc("2025-10-01")  # noqa: DTZ001
    for refused in (
        lambda: Period(naive, aware),
        lambda: Period(aware, naive),
        lambda: period_start(naive, MONTH, 1),
        lambda: period_at(aware, MONTH, naive),
        lambda: month_window(naive),
    ):
        with pytest.raises(ValueError, match="no time zone"):
            refused()


@pytest.mark.parametrize("count", [0, -1])
def test_interval_of_no_length_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="at least one month"):
        Interval(IntervalUnit.MONTH, count)


def test_intervals_of_equal_length_are_equal() -> None:
    assert Interval(IntervalUnit.MONTH, 12) == YEAR
    assert hash(Interval(IntervalUnit.MONTH, 12)) == hash(YEAR)
    assert MONTH != YEAR
    assert [str(i) for i in (MONTH, QUARTER, YEAR)] == ["month", "3 months", "year"]


@pytest.mark.parametrize(
    "beyond",
    [
        lambda: month_window(datetime.max.replace(tzinfo=UTC)),
        lambda: period_start(utc("2025-01-31"), MONTH, 10**30),
        lambda: period_start(utc("2025-01-31"), MONTH, -(10**30)),
        lambda: nth_period(utc("9999-11-30"), MONTH, 1),
        lambda: period_at(utc("0001-01-02"), MONTH, utc("0001-01-01")),
        lambda: as_utc(datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))),
        lambda: as_utc(datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_beyond_the_calendar_is_a_value_error(beyond: Any) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        beyond()


def test_first_and_last_period_of_the_calendar() -> None:
    assert month_window(utc("0001-01-31")) == Period(utc("0001-01-01"), utc("0001-02-01"))
    assert nth_period(utc("9999-11-30"), MONTH, 0) == Period(utc("9999-11-30"), utc("9999-12-30"))
    assert month_window(utc("9999-11-30")) == Period(utc("9999-11-01"), utc("9999-12-01"))


@given(anchor=ANCHORS, interval=INTERVALS_TRIED, first=st.integers(-300, 300))
def test_periods_tile_time(anchor: datetime, interval: Interval, first: int) -> None:
    periods = [nth_period(anchor, interval, n) for n in range(first, first + 400)]
    for earlier, later in pairwise(periods):
        assert earlier.end == later.start
        months = (later.start.year - earlier.start.year) * 12 + later.start.month - earlier.start.month
        assert months == interval.months
    for start in (period.start for period in periods):
        assert start.day == min(anchor.day, monthrange(start.year, start.month)[1])
        assert start.timetz() == anchor.timetz()


@given(anchor=ANCHORS, interval=INTERVALS_TRIED, at=st.one_of(ANCHORS, st.datetimes(timezones=st.just(UTC))))
def test_the_period_found_contains_the_instant(anchor: datetime, interval: Interval, at: datetime) -> None:
    span = timedelta(days=31 * interval.months + 31)
    if not datetime.min.replace(tzinfo=UTC) + span < at < datetime.max.replace(tzinfo=UTC) - span:
        return
    index, period = period_at(anchor, interval, at)
    assert period.contains(at)
    assert period == nth_period(anchor, interval, index)
    assert (index >= 0) == (at >= anchor)


@given(anchor=ANCHORS, interval=INTERVALS_TRIED, n=st.integers(-200, 200))
def test_the_edge_belongs_to_the_later_period(anchor: datetime, interval: Interval, n: int) -> None:
    edge = period_start(anchor, interval, n)
    assert [period_at(anchor, interval, edge + d)[0] for d in (-TICK, timedelta(), TICK)] == [n - 1, n, n]


@given(
    anchor=st.datetimes(timezones=st.timezones()),
    interval=INTERVALS_TRIED,
    at=st.datetimes(timezones=st.timezones()),
)
def test_any_two_instants_give_the_period_or_a_value_error(anchor: datetime, interval: Interval, at: datetime) -> None:
    try:
        _, period = period_at(anchor, interval, at)
    except ValueError:
        return
    assert period.contains(at)
