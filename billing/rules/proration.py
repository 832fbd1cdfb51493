"""Proration: what a change of price within a period gives back and costs; the one rule behind preview and upgrade."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Literal, get_args

from billing.rules.money import from_minor, round_money, to_minor
from billing.rules.periods import Period

Granularity = Literal["day", "second"]


@dataclass(frozen=True, slots=True)
class Proration:
    """The lines of a change and their sum, each with the currency's decimals."""

    credit: Decimal
    """For the unused time of the old price; never negative, to be subtracted."""
    charge: Decimal
    """For the remaining time at the new price; never negative."""
    discount: Decimal
    """What a coupon takes off the charge; never negative, to be subtracted."""
    net: Decimal
    """Exactly charge - discount - credit: negative where the change owes the customer."""
    remaining: Fraction
    """In days or seconds, as ``granularity`` says; within ``[0, total]``."""
    total: Fraction
    days_remaining: int
    """Whole UTC dates, by either granularity."""
    days_total: int
    currency: str
    granularity: Granularity


def prorate(
    old_price: Decimal | None,
    new_price: Decimal | None,
    period: Period,
    at: datetime,
    currency: str,
    granularity: Granularity = "day",
    *,
    discount: Decimal = Decimal(0),
) -> Proration:
    """Credit for the rest of the period at the old price, charge for it at the new one less its discount.

    Prices are for the whole period, the old one net of the discount it was sold with; ``discount`` is what a coupon
    takes off the new one, at most all of it. None is a side that does not exist: no old price when a subscription
    starts in mid-period, no new one when it is cancelled. By day the UTC date of ``at`` decides and counts as
    remaining; by second the instant does, to the microsecond. Before the period's start all of it remains, from its end
    on nothing.

    The fraction is exact and each line is rounded once, which gives law L6: a line depends on its own price only, so
    B's charge on the way A→B is to the cent B's credit on the way B→C (same ``at``; by day, same UTC date), and A→B→C
    nets exactly A→C. A credit cannot exceed its price, since a price has no fractions of the minor unit.

    Raises ValueError for a negative or too fine price, no price at all, an unknown currency or granularity, and by day
    for a period that lies within one UTC date.
    """
    if granularity not in get_args(Granularity):
        raise ValueError(f"unknown granularity {granularity!r}; give 'day' or 'second'")
    if old_price is None and new_price is None:
        raise ValueError("give an old price, a new price or both: there is nothing to prorate")
    remaining, total = _remaining_and_total(period, at, granularity)
    credit = _share(old_price, remaining / total, currency)
    charge = _share(new_price, remaining / total, currency)
    # The net price's share is rounded, as the credit for it will be: a discount, too, depends on its own price only.
    reduced = charge if new_price is None else _share(new_price - discount, remaining / total, currency)
    return Proration(
        credit=credit,
        charge=charge,
        discount=from_minor(to_minor(charge, currency) - to_minor(reduced, currency), currency),
        net=from_minor(to_minor(reduced, currency) - to_minor(credit, currency), currency),
        remaining=remaining,
        total=total,
        days_remaining=period.days_remaining(at),
        days_total=period.days_total,
        currency=currency,
        granularity=granularity,
    )


def _remaining_and_total(period: Period, at: datetime, granularity: Granularity) -> tuple[Fraction, Fraction]:
    if granularity == "second":
        return period.seconds_remaining(at), period.seconds_total
    if period.days_total == 0:
        raise ValueError("the period lies within one UTC date; prorate it by second")
    return Fraction(period.days_remaining(at)), Fraction(period.days_total)


def _share(price: Decimal | None, fraction: Fraction, currency: str) -> Decimal:
    if price is None:
        return from_minor(0, currency)
    minor = to_minor(price, currency)
    if minor < 0:
        raise ValueError(f"a price is not negative: {price}")
    return round_money(Fraction(price) * fraction, currency)
