"""What a coupon takes off a price: rounded once, half up, in every currency, and never more than the price."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.discount import discount
from billing.rules.money import from_minor
from tests.factories import money


@pytest.mark.parametrize(
    ("price", "currency", "percent", "off"),
    [
        ("49.00", "USD", "50", "24.50"),
        ("0.01", "USD", "50", "0.01"),  # half up
        ("0.01", "USD", "49.99", "0.00"),
        ("100", "JPY", "33.33", "33"),
        ("50", "JPY", "33.33", "17"),  # 16.665
        ("10.000", "KWD", "33.33", "3.333"),
        ("0.015", "KWD", "33.33", "0.005"),
        ("9.99", "USD", "100", "9.99"),
        ("0.00", "USD", "50", "0.00"),
        ("10.00", "USD", "0.01", "0.00"),
        ("100.00", "USD", "0.01", "0.01"),
    ],
)
def test_a_percentage(price: str, currency: str, percent: str, off: str) -> None:
    assert str(discount(money(price), currency, percent=money(percent))) == off


@pytest.mark.parametrize(
    ("price", "currency", "amount", "off"),
    [
        ("49.00", "USD", "5", "5.00"),
        ("5.00", "USD", "5", "5.00"),
        ("4.99", "USD", "5", "4.99"),
        ("900", "JPY", "1000", "900"),
        ("1.000", "KWD", "0.001", "0.001"),
    ],
)
def test_an_amount(price: str, currency: str, amount: str, off: str) -> None:
    assert str(discount(money(price), currency, amount=money(amount))) == off


@pytest.mark.parametrize("given", [{}, {"percent": Decimal(1), "amount": Decimal(1)}])
def test_one_of_the_two_is_given(given: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="percentage or an amount"):
        discount(Decimal(1), "USD", **given)


def test_an_amount_finer_than_the_currency_is_none() -> None:
    with pytest.raises(ValueError, match="decimals"):
        discount(Decimal(100), "JPY", amount=money("0.5"))


@given(
    minor=st.integers(0, 10**12),
    currency=st.sampled_from(["USD", "JPY", "KWD", "CLF"]),
    percent=st.integers(1, 10_000).map(lambda hundredths: Decimal(hundredths) / 100),
)
def test_the_net_price_lies_between_nothing_and_the_price(minor: int, currency: str, percent: Decimal) -> None:
    price = from_minor(minor, currency)
    off = discount(price, currency, percent=percent)
    assert 0 <= off <= price
    assert off.as_tuple().exponent == price.as_tuple().exponent
