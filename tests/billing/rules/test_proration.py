"""Proration: worked cases of other billing systems, every edge of a period, and law L6 as properties."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.rules.money import UnknownCurrency, from_minor, minor_units
from billing.rules.periods import MONTH, QUARTER, YEAR, Period, nth_period
from billing.rules.proration import Granularity, Proration, prorate

CASES = json.loads((Path(__file__).parent / "vectors" / "proration.json").read_text())
GRANULARITY_OF: dict[str, Granularity] = {"day_half_open": "day", "second": "second"}

ZERO = Decimal(0)
TICK = timedelta(microseconds=1)
OCTOBER = Period(datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 10, 31, tzinfo=UTC))

CURRENCIES = st.sampled_from(["JPY", "USD", "KWD", "CLF"])
GRANULARITIES: st.SearchStrategy[Granularity] = st.sampled_from(["day", "second"])
MINOR_PRICES = st.one_of(st.integers(0, 100), st.integers(0, 10**12))
TIMES_OF_DAY = st.timedeltas(timedelta(0), timedelta(days=1) - TICK)
UP_TO_400_DAYS = st.timedeltas(timedelta(0), timedelta(days=400))
PERIODS = st.builds(
    nth_period,
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2110-01-01"), timezones=st.just(UTC)),
    st.sampled_from([MONTH, QUARTER, YEAR]),
    st.integers(0, 60),
)


@st.composite
def moments(draw: st.DrawFn) -> tuple[Period, datetime]:
    """A period and an instant in or around it."""
    period = draw(PERIODS)
    ticks = draw(st.integers(-2 * 86_400_000_000, (period.end - period.start) // TICK + 2 * 86_400_000_000))
    return period, period.start + ticks * TICK


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def decimal_or_none(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def period_and_instant(case: dict[str, Any]) -> tuple[Period, datetime]:
    if case["period_start"] is not None:
        return Period(utc(case["period_start"]), utc(case["period_end"])), utc(case["change_at"])
    start = datetime(2025, 1, 1, tzinfo=UTC)
    used = case["days_total"] - case["days_remaining"]
    return Period(start, start + timedelta(days=case["days_total"])), start + timedelta(days=used)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_vector(case: dict[str, Any]) -> None:
    assert minor_units(case["currency"]) == case["minor_units"]
    period, at = period_and_instant(case)
    old_price, new_price = decimal_or_none(case["old_price"]), decimal_or_none(case["new_price"])
    found = prorate(old_price, new_price, period, at, case["currency"], GRANULARITY_OF[case["convention"]])
    assert str(found.net) == case["expected_net"]
    if case["kind"] != "net_only":
        assert str(found.credit) == (case["expected_credit"] or "0.00")
        assert str(found.charge) == (case["expected_charge"] or "0.00")


def test_starter_to_pro_in_the_middle_of_october() -> None:
    at = datetime(2025, 10, 16, 9, 30, tzinfo=UTC)
    assert prorate(Decimal("29.00"), Decimal("49.00"), OCTOBER, at, "USD") == Proration(
        credit=Decimal("14.50"),
        charge=Decimal("24.50"),
        discount=Decimal("0.00"),
        net=Decimal("10.00"),
        remaining=Fraction(15),
        total=Fraction(30),
        days_remaining=15,
        days_total=30,
        currency="USD",
        granularity="day",
    )


@pytest.mark.parametrize(
    ("at", "net"),
    [
        (OCTOBER.start - TICK, "20.00"),
        (OCTOBER.start, "20.00"),
        (OCTOBER.start + timedelta(days=1) - TICK, "20.00"),
        (OCTOBER.start + timedelta(days=1), "19.34"),
        (OCTOBER.end - timedelta(days=1) - TICK, "1.34"),
        (OCTOBER.end - timedelta(days=1), "0.66"),
        (OCTOBER.end - TICK, "0.66"),
        (OCTOBER.end, "0.00"),
        (OCTOBER.end + TICK, "0.00"),
    ],
)
def test_by_day_the_utc_date_decides(at: datetime, net: str) -> None:
    assert str(prorate(Decimal(29), Decimal(49), OCTOBER, at, "USD").net) == net


@pytest.mark.parametrize(
    ("at", "credit", "remaining"),
    [
        (OCTOBER.start - TICK, 2_592_000_000_000, Fraction(2_592_000)),
        (OCTOBER.start, 2_592_000_000_000, Fraction(2_592_000)),
        (OCTOBER.start + TICK, 2_591_999_999_999, 2_592_000 - Fraction(1, 10**6)),
        (OCTOBER.end - TICK, 1, Fraction(1, 10**6)),
        (OCTOBER.end, 0, Fraction(0)),
        (OCTOBER.end + TICK, 0, Fraction(0)),
    ],
)
def test_by_second_every_microsecond_counts(at: datetime, credit: int, remaining: Fraction) -> None:
    # One yen a microsecond, so that the credit counts them.
    found = prorate(Decimal(2_592_000_000_000), None, OCTOBER, at, "JPY", "second")
    assert (found.credit, found.remaining, found.total) == (Decimal(credit), remaining, Fraction(2_592_000))


def test_by_second_the_day_fields_stay_whole_days() -> None:
    at = datetime(2025, 10, 16, 12, tzinfo=UTC)
    found = prorate(Decimal(29), Decimal(49), OCTOBER, at, "USD", "second")
    assert (found.days_remaining, found.days_total) == (15, 30)
    assert (str(found.credit), str(found.charge), str(found.net)) == ("14.02", "23.68", "9.66")


@pytest.mark.parametrize(
    ("currency", "old", "new", "lines"),
    [
        ("JPY", "2900", "4901", ("1450", "2451", "1001")),
        ("KWD", "8.999", "15.001", ("4.500", "7.501", "3.001")),
        ("USD", "0.01", "0.03", ("0.01", "0.02", "0.01")),
    ],
)
def test_each_line_is_rounded_half_up_to_the_currency(
    currency: str, old: str, new: str, lines: tuple[str, str, str]
) -> None:
    found = prorate(Decimal(old), Decimal(new), OCTOBER, datetime(2025, 10, 16, tzinfo=UTC), currency)
    assert (str(found.credit), str(found.charge), str(found.net)) == lines


@pytest.mark.parametrize(
    ("old", "new", "currency", "granularity", "message"),
    [
        (None, None, "USD", "day", "nothing to prorate"),
        ("-0.01", "1", "USD", "day", "not negative"),
        ("1", "-0.01", "USD", "day", "not negative"),
        ("1.001", "2", "USD", "day", "more decimals than the 2 of USD"),
        ("1", "2.5", "JPY", "day", "more decimals than the 0 of JPY"),
        ("NaN", "1", "USD", "day", "not an amount of money"),
        ("1", "2", "USD", "hour", "unknown granularity 'hour'"),
    ],
)
def test_bad_input_is_a_clear_value_error(
    old: str | None, new: str | None, currency: str, granularity: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prorate(decimal_or_none(old), decimal_or_none(new), OCTOBER, OCTOBER.start, currency, granularity)


def test_unknown_currency_is_refused() -> None:
    with pytest.raises(UnknownCurrency):
        prorate(Decimal(1), Decimal(2), OCTOBER, OCTOBER.start, "XXX")


def test_a_period_of_a_single_day_is_prorated_by_day() -> None:
    start = datetime(2025, 10, 1, tzinfo=UTC)
    day = Period(start, start + timedelta(days=1))
    nets = [str(prorate(Decimal(1), Decimal(2), day, at, "USD").net) for at in (start, day.end - TICK, day.end)]
    assert nets == ["1.00", "1.00", "0.00"]


def test_a_period_within_one_date_is_prorated_by_second_only() -> None:
    start = datetime(2025, 10, 1, 10, tzinfo=UTC)
    short = Period(start, start + timedelta(hours=2))
    with pytest.raises(ValueError, match="within one UTC date"):
        prorate(Decimal(1), Decimal(2), short, start, "USD")
    assert str(prorate(Decimal(1), Decimal(2), short, start + timedelta(hours=1), "USD", "second").net) == "0.50"


@given(moments(), MINOR_PRICES, MINOR_PRICES, CURRENCIES, GRANULARITIES)
def test_lines_are_the_exact_share_rounded_once_and_sum_to_the_net(
    moment: tuple[Period, datetime], old: int, new: int, currency: str, granularity: Granularity
) -> None:
    found = prorate(from_minor(old, currency), from_minor(new, currency), *moment, currency, granularity)
    assert 0 <= found.remaining <= found.total
    for line, price in ((found.credit, old), (found.charge, new)):
        exact = price * found.remaining / found.total
        assert line == from_minor(int(exact + Fraction(1, 2)), currency)
        assert 0 <= line <= from_minor(price, currency)
    assert found.charge - found.credit == found.net
    assert {line.as_tuple().exponent for line in (found.credit, found.charge, found.net)} == {-minor_units(currency)}


@given(PERIODS, UP_TO_400_DAYS, MINOR_PRICES, MINOR_PRICES, CURRENCIES, GRANULARITIES)
def test_at_the_start_the_full_difference_and_at_the_end_nothing(
    period: Period, off: timedelta, old: int, new: int, currency: str, granularity: Granularity
) -> None:
    prices = from_minor(old, currency), from_minor(new, currency)
    for at in (period.start, period.start - off):
        assert prorate(*prices, period, at, currency, granularity).net == prices[1] - prices[0]
    for at in (period.end, period.end + off):
        found = prorate(*prices, period, at, currency, granularity)
        assert (found.credit, found.charge, found.net) == (ZERO, ZERO, ZERO)


@given(moments(), st.lists(MINOR_PRICES, min_size=3, max_size=6), CURRENCIES, GRANULARITIES)
def test_a_chain_of_changes_at_one_instant_costs_the_direct_change_to_the_cent(
    moment: tuple[Period, datetime], minor_prices: list[int], currency: str, granularity: Granularity
) -> None:
    prices = [from_minor(minor, currency) for minor in minor_prices]
    steps = [prorate(old, new, *moment, currency, granularity) for old, new in pairwise(prices)]
    direct = prorate(prices[0], prices[-1], *moment, currency, granularity)
    assert sum(step.net for step in steps) == direct.net
    # Each step takes back exactly what the one before it charged.
    assert all(earlier.charge == later.credit for earlier, later in pairwise(steps))


@given(moments(), st.tuples(TIMES_OF_DAY, TIMES_OF_DAY), *[MINOR_PRICES] * 3, CURRENCIES)
def test_by_day_a_chain_within_one_utc_date_costs_the_direct_change(
    moment: tuple[Period, datetime], times: tuple[timedelta, timedelta], a: int, b: int, c: int, currency: str
) -> None:
    period, at = moment
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    first, second = (midnight + time for time in times)
    price_a, price_b, price_c = (from_minor(minor, currency) for minor in (a, b, c))
    steps = prorate(price_a, price_b, period, first, currency), prorate(price_b, price_c, period, second, currency)
    assert steps[0].net + steps[1].net == prorate(price_a, price_c, period, at, currency).net


@given(moments(), UP_TO_400_DAYS, MINOR_PRICES, MINOR_PRICES, CURRENCIES, GRANULARITIES)
def test_later_is_never_more(
    moment: tuple[Period, datetime], later: timedelta, old: int, new: int, currency: str, granularity: Granularity
) -> None:
    period, at = moment
    prices = from_minor(old, currency), from_minor(new, currency)
    earlier = prorate(*prices, period, at, currency, granularity)
    after = prorate(*prices, period, at + later, currency, granularity)
    assert after.credit <= earlier.credit
    assert after.charge <= earlier.charge
    # The net itself can rise by a minor unit, where the credit's rounding falls between the two.
    unit = from_minor(1, currency)
    assert abs(after.net) <= abs(earlier.net) + unit


@given(moments(), MINOR_PRICES, MINOR_PRICES, CURRENCIES, GRANULARITIES)
def test_the_way_back_costs_the_opposite(
    moment: tuple[Period, datetime], old: int, new: int, currency: str, granularity: Granularity
) -> None:
    assume(old != new)
    price_old, price_new = from_minor(old, currency), from_minor(new, currency)
    there = prorate(price_old, price_new, *moment, currency, granularity)
    back = prorate(price_new, price_old, *moment, currency, granularity)
    assert (there.net, there.credit, there.charge) == (-back.net, back.charge, back.credit)


@given(moments(), MINOR_PRICES, MINOR_PRICES, CURRENCIES, GRANULARITIES)
def test_one_sided_changes_are_the_sides_of_the_change(
    moment: tuple[Period, datetime], old: int, new: int, currency: str, granularity: Granularity
) -> None:
    price_old, price_new = from_minor(old, currency), from_minor(new, currency)
    both = prorate(price_old, price_new, *moment, currency, granularity)
    started = prorate(None, price_new, *moment, currency, granularity)
    cancelled = prorate(price_old, None, *moment, currency, granularity)
    assert (started.credit, started.charge, started.net) == (ZERO, both.charge, both.charge)
    assert (cancelled.credit, cancelled.charge, cancelled.net) == (both.credit, ZERO, -both.credit)
