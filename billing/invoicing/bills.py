"""What is to be invoiced, before it is: bills and their lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings

from billing.models import BillingPeriod, Coupon, InvoiceLine, Subscription
from billing.models.invoicing.invoices import NOTHING
from billing.rules.money import in_currency
from billing.rules.periods import Period
from billing.rules.tax import Category, TaxSum, Treatment


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be billed. `amount` is negative for a credit."""

    kind: InvoiceLine.Kind
    description: str
    amount: Decimal
    period: Period
    """The time it is for."""
    sold: BillingPeriod | None = None
    """The billing period it was sold in, or takes back a part of."""
    treatment: Treatment | None = None
    """How it is taxed; given by `taxation`. None for a balance that is used, and where there is no seller."""


@dataclass(frozen=True, slots=True)
class Parties:
    """Seller and buyer, as a document keeps them."""

    seller: dict[str, Any]
    buyer: dict[str, Any]
    payment_days: int


@dataclass(frozen=True, slots=True)
class Bill:
    """What one subscription is to be invoiced for."""

    subscription: Subscription
    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[TaxSum, ...] = ()
    parties: Parties | None = None
    """None where there is no seller."""
    is_taxed: bool = False
    """`taxation` has looked at it."""

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), NOTHING)

    @property
    def gross(self) -> Decimal:
        """What it comes to with tax, before a balance is used."""
        return sum((line.amount for line in self.lines if line.kind != InvoiceLine.Kind.BALANCE), NOTHING)

    @property
    def tax(self) -> Decimal:
        return sum((each.tax for each in self.taxes), NOTHING)

    @property
    def reverse_charge(self) -> bool:
        return any(each.treatment.category == Category.REVERSE_CHARGE for each in self.taxes)


def base_price(period: BillingPeriod) -> Bill:
    """A period's price, billed in advance, and its discount."""
    line = Line(InvoiceLine.Kind.BASE, period.title, in_currency(period.price, period.currency), period.period, period)
    lines = (line, *discount_lines(period.coupon, period.discount, period.period, period))
    return Bill(period.subscription, period.currency, lines)


def discount_lines(coupon: Coupon | None, amount: Decimal, time: Period, sold: BillingPeriod) -> tuple[Line, ...]:
    """The line of what a coupon takes off a period's price or a part of it; none where that is nothing."""
    if coupon is None or not amount:
        return ()
    off = in_currency(amount, sold.currency)
    return (Line(InvoiceLine.Kind.DISCOUNT, f"{coupon.code}: {coupon.takes()} off", -off, time, sold),)


def to_issue(bills: Sequence[Bill]) -> list[Bill]:
    """The bills that become invoices: not those on which every line is 0, unless ISSUE_ZERO_INVOICES says so."""
    return [bill for bill in bills if settings.ISSUE_ZERO_INVOICES or any(line.amount for line in bill.lines)]
