"""Tokens above the quota: on which terms they are sold, what they cost, and which of a window's are billed."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from billing.rules.money import AMOUNT_BOUND, minor_units, round_money

PER_TOKENS = 1_000
"""A unit price is of so many tokens."""


class OverageTerms(NamedTuple):
    """How tokens above the quota are sold."""

    price: Decimal
    """Of PER_TOKENS tokens, in the currency; it may have more decimals than that."""
    cap_tokens: int
    """The most of them in a usage window."""
    currency: str
    is_own_cap: bool = False
    """The customer has set the cap."""

    def sold(self, used: int, included: int) -> Overage:
        """What of the tokens used in a window is above those included."""
        tokens = max(used - included, 0)
        return Overage(tokens, max(self.cap_tokens - tokens, 0), cost(tokens, self.price, self.currency), self)


class Overage(NamedTuple):
    """What was used above the quota of a window, up to now."""

    tokens: int
    left: int
    amount: Decimal
    terms: OverageTerms


class Stretch(NamedTuple):
    """A part of a usage window that was on one plan, and has been looked at."""

    used: int
    """In the window, up to the stretch's end."""
    included: int | None
    """Tokens of the window that cost nothing extra; None: all of them."""
    billed: int
    """Tokens of the stretch above them."""


def cost(tokens: int, price: Decimal, currency: str) -> Decimal:
    """Of tokens at a price of PER_TOKENS, rounded once, half up, to the currency's minor unit; below zero likewise.

    Beyond the largest amount there is it is that: staff look at such an invoice first.
    """
    exact = Fraction(price) * tokens / PER_TOKENS
    return round_money(max(min(exact, Fraction(AMOUNT_BOUND - 1)), Fraction(1 - AMOUNT_BOUND)), currency)


def shown_price(price: Decimal, currency: str) -> Decimal:
    """A unit price with the currency's decimals, or with as many as it needs beyond them."""
    plain = price.normalize()
    exponent = plain.as_tuple().exponent
    decimals = max(minor_units(currency), -exponent if isinstance(exponent, int) else 0)
    return round(plain, decimals)


def above_quota(earlier: Sequence[Stretch], used: int, included: int | None) -> int:
    """How many of the tokens `used` in a window are billed for its last stretch, after those `earlier` ones.

    The largest quota that any plan of the window gave holds for all of it. What was billed of the window, or was used
    before at no charge, is not billed again.
    """
    quotas = [included, *(stretch.included for stretch in earlier)]
    known = [quota for quota in quotas if quota is not None]
    if len(known) < len(quotas):
        return 0
    free = max(known) + sum(stretch.billed for stretch in earlier)
    return max(used - max([free, *(stretch.used for stretch in earlier)]), 0)
