"""What a coupon takes off the price of a period."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from billing.rules.money import from_minor, in_currency, round_money


def discount(
    price: Decimal, currency: str, *, percent: Decimal | None = None, amount: Decimal | None = None
) -> Decimal:
    """What a percentage or an amount takes off a price, in its currency: rounded once, half up, at most the price.

    Raises ValueError unless exactly one of the two is given, and for an amount that is finer than the currency.
    """
    if (percent is None) == (amount is None):
        raise ValueError("give a percentage or an amount")
    if amount is not None:
        off = in_currency(amount, currency)
    else:
        assert percent is not None
        off = round_money(Fraction(price) * Fraction(percent) / 100, currency)
    return max(min(off, in_currency(price, currency)), from_minor(0, currency))
