"""Billing periods as a type: half-open stretches of UTC time, counted from a persisted anchor and never chained."""

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Final


class IntervalUnit(StrEnum):
    MONTH = "month"
    YEAR = "year"


_MONTHS_OF: Final[Mapping[IntervalUnit, int]] = MappingProxyType({IntervalUnit.MONTH: 1, IntervalUnit.YEAR: 12})


@dataclass(frozen=True, slots=True)
class Interval:
    """How often a plan is billed. Intervals of equal length are equal: 12 months is a year."""

    unit: IntervalUnit = field(compare=False)
    count: int = field(default=1, compare=False)
    months: int = field(init=False)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"an interval is at least one {self.unit} long, not {self.count}")
        object.__setattr__(self, "months", self.count * _MONTHS_OF[self.unit])

    def __str__(self) -> str:
        return str(self.unit) if self.count == 1 else f"{self.count} {self.unit}s"


MONTH: Final = Interval(IntervalUnit.MONTH)
QUARTER: Final = Interval(IntervalUnit.MONTH, 3)
YEAR: Final = Interval(IntervalUnit.YEAR)

#: The intervals by the code under which a plan stores them.
INTERVALS: Final[Mapping[str, Interval]] = MappingProxyType({"month": MONTH, "quarter": QUARTER, "year": YEAR})


def as_utc(at: datetime) -> datetime:
    """Raises ValueError for a naive datetime: guessing a zone would move a period's edge by hours."""
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone; give an aware datetime such as {at.isoformat()}+00:00")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{at.isoformat()} lies outside the years {MINYEAR} to {MAXYEAR} in UTC") from None


@dataclass(frozen=True, slots=True)
class Period:
    """``[start, end)`` in UTC: an instant at ``end`` belongs to the next period. Other zones are converted."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", as_utc(self.start))
        object.__setattr__(self, "end", as_utc(self.end))
        if self.start >= self.end:
            raise ValueError(f"a period starts before it ends: {self.start.isoformat()} >= {self.end.isoformat()}")

    def contains(self, at: datetime) -> bool:
        return self.start <= as_utc(at) < self.end

    @property
    def days_total(self) -> int:
        """Whole UTC dates; 0 when the period lies within one date."""
        return (self.end.date() - self.start.date()).days

    def days_remaining(self, at: datetime) -> int:
        """UTC dates from that of ``at``, which still counts, to the period's end; within ``[0, days_total]``.

        Today counts until the period has ended: on a last date that it ends in the middle of, one day remains.
        """
        if as_utc(at) >= self.end:
            return 0
        days = (self.end.date() - as_utc(at).date()).days
        return min(max(days, 1), self.days_total)

    @property
    def seconds_total(self) -> Fraction:
        """Exact to the microsecond."""
        return _seconds(self.end - self.start)

    def seconds_remaining(self, at: datetime) -> Fraction:
        """Seconds from ``at`` to the period's end, exact to the microsecond; within ``[0, seconds_total]``."""
        return _seconds(self.end - min(max(as_utc(at), self.start), self.end))


def _seconds(span: timedelta) -> Fraction:
    return Fraction(span // timedelta(microseconds=1), 1_000_000)


def period_start(anchor: datetime, interval: Interval, n: int) -> datetime:
    """Start of period ``n``, counted from the anchor; period 0 starts at the anchor and n may be negative.

    The anchor's day of the month, as read in UTC, is kept and shortened only in months that lack it, so the 31st gives
    31, 28, 31, 30, 31. Raises ValueError where the calendar ends (years 1 to 9999).
    """
    origin = as_utc(anchor)
    year, month0 = divmod(origin.year * 12 + origin.month - 1 + n * interval.months, 12)
    if not MINYEAR <= year <= MAXYEAR:
        raise ValueError(f"period {n} from {origin.isoformat()} lies outside the years {MINYEAR} to {MAXYEAR}")
    month = month0 + 1
    return origin.replace(year=year, month=month, day=min(origin.day, monthrange(year, month)[1]))


def nth_period(anchor: datetime, interval: Interval, n: int) -> Period:
    return Period(period_start(anchor, interval, n), period_start(anchor, interval, n + 1))


def period_at(anchor: datetime, interval: Interval, at: datetime) -> tuple[int, Period]:
    """The period that contains ``at``, and its index.

    Periods tile time in both directions: before the anchor the index is negative. Raises ValueError where the period
    would leave the years 1 to 9999. Takes the same time however far ``at`` lies from the anchor.
    """
    origin, instant = as_utc(anchor), as_utc(at)
    months = (instant.year - origin.year) * 12 + instant.month - origin.month
    index = months // interval.months
    # Period index + 1 starts in a later calendar month than ``at``; period ``index`` may start later in the same one.
    if period_start(origin, interval, index) > instant:
        index -= 1
    return index, nth_period(origin, interval, index)


def month_window(at: datetime) -> Period:
    """The calendar month in UTC that contains ``at``."""
    first = as_utc(at).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return nth_period(first, MONTH, 0)
