"""Minor units of every kind of currency, and the one rounding."""

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.money import (
    AMOUNT_BOUND,
    CURRENCY_DECIMALS,
    UnknownCurrency,
    from_minor,
    in_currency,
    is_exact,
    minor_units,
    round_money,
    to_minor,
)

CURRENCIES = st.sampled_from(["JPY", "USD", "KWD", "CLF"])
FRACTIONS = st.fractions(-(10**9), 10**9, max_denominator=10**6)


@pytest.mark.parametrize(
    ("currency", "decimals"),
    [("USD", 2), ("EUR", 2), ("JPY", 0), ("KRW", 0), ("UGX", 0), ("KWD", 3), ("TND", 3), ("IQD", 3), ("CLF", 4)],
)
def test_minor_units(currency: str, decimals: int) -> None:
    assert minor_units(currency) == decimals


def test_the_table_names_each_currency_once() -> None:
    by_decimals = {d: sum(1 for other in CURRENCY_DECIMALS.values() if other == d) for d in (0, 2, 3, 4)}
    assert by_decimals == {0: 17, 2: 139, 3: 7, 4: 2}
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCY_DECIMALS)


@pytest.mark.parametrize("currency", ["usd", "XAU", "XXX", "XTS", "ZZZ", "", "US", "USD "])
def test_unknown_currency_is_named(currency: str) -> None:
    with pytest.raises(UnknownCurrency, match=f"unknown currency '{currency}'"):
        minor_units(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        (Fraction(4_999_999, 1_000_000_000), "USD", "0.00"),
        (Fraction(5, 1000), "USD", "0.01"),
        (Fraction(5_000_001, 1_000_000_000), "USD", "0.01"),
        (Decimal("0.015"), "USD", "0.02"),
        (Decimal("0.025"), "USD", "0.03"),
        (Decimal("-0.004"), "USD", "0.00"),
        (Decimal("-0.005"), "USD", "-0.01"),
        (Decimal("-0.006"), "USD", "-0.01"),
        (Decimal("0.499"), "JPY", "0"),
        (Decimal("0.5"), "JPY", "1"),
        (Decimal("0.501"), "JPY", "1"),
        (Decimal("1.0004"), "KWD", "1.000"),
        (Decimal("1.0005"), "KWD", "1.001"),
        (Decimal("1.0006"), "KWD", "1.001"),
        (29, "USD", "29.00"),
        (Fraction(1, 3), "CLF", "0.3333"),
    ],
)
def test_round_money_under_at_and_over_the_half(amount: Decimal | Fraction | int, currency: str, rounded: str) -> None:
    assert str(round_money(amount, currency)) == rounded


def test_rounding_does_not_depend_on_the_callers_decimal_context() -> None:
    with localcontext() as context:
        context.prec = 3
        assert str(round_money(Decimal("123456.785"), "USD")) == "123456.79"
        assert str(from_minor(12_345_678, "USD")) == "123456.78"


@pytest.mark.parametrize(
    ("amount", "currency", "exact"),
    [
        ("29", "USD", True),
        ("29.990", "USD", True),
        ("29.999", "USD", False),
        ("29.999", "KWD", True),
        ("0.5", "JPY", False),
    ],
)
def test_exact_amounts_convert_and_others_are_refused(amount: str, currency: str, exact: bool) -> None:
    assert is_exact(Decimal(amount), currency) is exact
    if exact:
        assert in_currency(Decimal(amount), currency) == Decimal(amount)
    else:
        with pytest.raises(ValueError, match="has more decimals than"):
            to_minor(Decimal(amount), currency)


def test_minor_units_written_out() -> None:
    written = [str(from_minor(1000, currency)) for currency in ("USD", "JPY", "KWD", "CLF")]
    assert written == ["10.00", "1000", "1.000", "0.1000"]
    assert [str(from_minor(minor, "USD")) for minor in (-1, 0, 1)] == ["-0.01", "0.00", "0.01"]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound_of_amounts_under_at_and_over(sign: int) -> None:
    for inside in (AMOUNT_BOUND - 1, AMOUNT_BOUND):
        assert from_minor(to_minor(sign * inside, "KWD"), "KWD") == sign * inside
    for outside in (sign * (AMOUNT_BOUND + 1), Decimal(f"{sign}E+9999999")):
        with pytest.raises(ValueError, match="an amount lies within"):
            to_minor(outside, "KWD")
    with pytest.raises(ValueError, match="an amount lies within"):
        from_minor(sign * (AMOUNT_BOUND * 1000 + 1), "KWD")


def test_decimals_of_an_amount_under_at_and_over() -> None:
    assert [str(round_money(Decimal(f"1E-{n}"), "USD")) for n in (39, 40)] == ["0.00", "0.00"]
    for finer in ("1E-41", "1E-999999"):
        with pytest.raises(ValueError, match="at most 40 decimals"):
            round_money(Decimal(finer), "USD")


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_not_a_number_is_not_an_amount(amount: str) -> None:
    with pytest.raises(ValueError, match="not an amount of money"):
        round_money(Decimal(amount), "USD")


def test_a_float_is_refused() -> None:
    inexact: Any = 0.1
    with pytest.raises(TypeError, match=r"0\.1 is a float; give money as Decimal"):
        round_money(inexact, "USD")


@given(FRACTIONS, CURRENCIES)
def test_rounding_is_half_up_by_magnitude(amount: Fraction, currency: str) -> None:
    rounded = round_money(amount, currency)
    unit = Fraction(1, 10 ** minor_units(currency))
    distance = abs(Fraction(rounded)) - abs(amount)
    assert -unit / 2 < distance <= unit / 2
    assert round_money(-amount, currency) == -rounded
    assert round_money(rounded, currency) == rounded
    assert rounded.as_tuple().exponent == -minor_units(currency)


@given(st.integers(-(10**14), 10**14), CURRENCIES)
def test_minor_units_there_and_back(minor: int, currency: str) -> None:
    assert to_minor(from_minor(minor, currency), currency) == minor
