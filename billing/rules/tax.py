"""Tax: which one a sale is under, and what it comes to. Rounded once for each treatment on an invoice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from billing.rules.countries import EU
from billing.rules.money import round_money


class Category(StrEnum):
    """UNTDID 5305, as EN 16931 has them."""

    STANDARD = "S"
    """Taxed at a rate above 0."""
    ZERO = "Z"
    """Taxed at a rate of 0."""
    REVERSE_CHARGE = "AE"
    """The buyer owes the tax."""
    OUTSIDE = "O"
    """No rate is known for the buyer's country, or nothing was taxed yet when it was sold."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """How an amount is taxed. Amounts of one treatment are added up before they are rounded."""

    category: Category
    percent: Decimal
    country: str = ""
    """Where the tax is due; "" where none is."""
    name: str = ""
    """Such as VAT."""
    included: bool = False
    """The amounts contain the tax; or else it comes on top of them."""

    def tax_on(self, amount: Decimal, currency: str) -> Decimal:
        """The tax that comes on top of an amount, or is contained in it; half up to the currency's minor unit."""
        whole = 100 + Fraction(self.percent) if self.included else Fraction(100)
        return round_money(Fraction(amount) * Fraction(self.percent) / whole, currency)

    def gross(self, amount: Decimal, currency: str) -> Decimal:
        """An amount with its tax."""
        return amount if self.included else amount + self.tax_on(amount, currency)

    def label(self) -> str:
        """Such as `VAT 19 %`."""
        return f"{self.name or 'Tax'} {self.percent.normalize():f} %"


UNTAXED = Treatment(Category.OUTSIDE, Decimal(0))
"""What was billed before there was a seller."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a country's tax is from an instant on."""

    country: str
    percent: Decimal
    name: str
    valid_from: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """What of a seller or a buyer decides about tax: the country, and whether the party has a VAT number there."""

    country: str
    has_vat_id: bool


def rate_at(rates: Iterable[Rate], country: str, at: datetime) -> Rate | None:
    """The rate of a country that holds at an instant: the one that began last. None: there is none."""
    begun = [rate for rate in rates if rate.country == country and rate.valid_from <= at]
    return max(begun, key=lambda rate: rate.valid_from, default=None)


def treatment(seller: Place, buyer: Place, rates: Iterable[Rate], at: datetime, *, included: bool) -> Treatment:
    """How a sale at an instant is taxed: at the rate of the buyer's country.

    Between two countries of the EU the buyer owes the tax where both parties have a VAT number. `included`: prices
    contain the tax.
    """
    abroad = seller.country != buyer.country
    if abroad and {seller.country, buyer.country} <= EU and seller.has_vat_id and buyer.has_vat_id:
        return Treatment(Category.REVERSE_CHARGE, Decimal(0), buyer.country, "VAT")
    rate = rate_at(rates, buyer.country, at)
    if rate is None:
        return UNTAXED
    if not rate.percent:
        return Treatment(Category.ZERO, Decimal(0), rate.country, rate.name)
    return Treatment(Category.STANDARD, rate.percent, rate.country, rate.name, included)


@dataclass(frozen=True, slots=True)
class TaxSum:
    """What all amounts of one treatment on an invoice come to."""

    treatment: Treatment
    net: Decimal
    tax: Decimal


def tax_sums(amounts: Iterable[tuple[Treatment, Decimal]], currency: str) -> tuple[TaxSum, ...]:
    """The amounts by treatment, in the order of their first ones. Each treatment's tax is rounded once."""
    added: dict[Treatment, Decimal] = {}
    for each, amount in amounts:
        added[each] = added.get(each, Decimal(0)) + amount
    sums = []
    for each, amount in added.items():
        tax = each.tax_on(amount, currency)
        sums.append(TaxSum(each, amount - tax if each.included else amount, tax))
    return tuple(sums)


def gross(amounts: Mapping[Treatment, Decimal], currency: str) -> Decimal:
    """Amounts by treatment, with their tax."""
    return sum((each.gross(amount, currency) for each, amount in amounts.items()), Decimal(0))


def take(amount: Decimal, left: Mapping[Treatment, Decimal]) -> list[tuple[Treatment, Decimal]]:
    """Which parts of an amount come out of what is left of each treatment, taken in the given order.

    So what is given back bears the tax at which it was sold. What is above all that is left counts to the first one.
    """
    parts = []
    for each, available in left.items():
        part = min(amount, available)
        if part > 0:
            parts.append((each, part))
            amount -= part
    if amount > 0 or not parts:
        first, taken = parts[0] if parts else (next(iter(left), UNTAXED), Decimal(0))
        parts[:1] = [(first, taken + amount)]
    return parts


def shares(sums: Iterable[TaxSum], before: Decimal, amount: Decimal, currency: str) -> list[TaxSum]:
    """What an amount off an invoice's gross takes off each of its treatments, after `before` was taken off it.

    In proportion. Each part is the difference of two running totals, so the parts of all credit notes of an invoice
    add up to what it billed, once all of it is credited.
    """
    whole = list(sums)
    was, now = (_running(whole, taken, currency) for taken in (before, before + amount))
    return [TaxSum(a.treatment, b.net - a.net, b.tax - a.tax) for a, b in zip(was, now, strict=True)]


def _running(sums: list[TaxSum], taken: Decimal, currency: str) -> list[TaxSum]:
    total = sum((each.net + each.tax for each in sums), Decimal(0))
    left, running = taken, []
    for number, each in enumerate(sums, start=1):
        own = each.net + each.tax
        part = left if number == len(sums) else round_money(Fraction(own) * Fraction(taken) / Fraction(total), currency)
        left -= part
        tax = round_money(Fraction(each.tax) * Fraction(part) / Fraction(own), currency) if own else Decimal(0)
        running.append(TaxSum(each.treatment, part - tax, tax))
    return running
