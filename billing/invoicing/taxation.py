"""Puts the tax on bills: by the seller, the buyers' details and the rates of an instant. A batch costs a query each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model

from billing.invoicing.bills import Bill, Line, Parties
from billing.models import BillingDetails, InvoiceLine, Seller, TaxRate
from billing.models.invoicing.invoices import NOT_SOLD
from billing.postgres.any_of import any_of
from billing.rules import tax
from billing.rules.periods import Period
from billing.rules.tax import Treatment

Kind = InvoiceLine.Kind
_GIVES_BACK = {Kind.CREDIT: InvoiceLine.objects.of_period, Kind.OVERAGE: InvoiceLine.objects.overage_of_period}
"""Of lines below zero: what was billed of their period."""


def taxed(bills: Sequence[Bill], at: datetime) -> list[Bill]:
    """The bills with their parties and their tax, as of an instant; those that have it stay as they are.

    Where tax comes on top of prices it is a line of its own for each treatment. Without a seller there is none.
    """
    if not any(bill.is_taxed is False for bill in bills):
        return list(bills)
    seller = Seller.objects.first()
    if seller is None:
        return [bill if bill.is_taxed else replace(bill, is_taxed=True) for bill in bills]
    buyers = _Buyers(seller, {bill.subscription.account_id for bill in bills}, at)
    return [bill if bill.is_taxed else _taxed(bill, buyers) for bill in bills]


def gross_of(account: int, currency: str, amount: Decimal, at: datetime) -> Decimal:
    """What an amount at list price comes to with tax, if it is billed alone to an account at an instant."""
    return treatment_of(account, at).gross(amount, currency)


def treatment_of(account: int, at: datetime) -> Treatment:
    """How prices are taxed for an account at an instant."""
    seller = Seller.objects.first()
    return tax.UNTAXED if seller is None else _Buyers(seller, {account}, at).treatment(account)


def changed_since(account: int, at: datetime) -> bool:
    """Whether what decides about an account's tax was edited after an instant: its details, the seller or a rate."""
    details = BillingDetails.objects.filter(account=account, changed_at__gt=at)
    return (
        Seller.history.filter(history_date__gt=at).exists()
        or TaxRate.history.filter(history_date__gt=at).exists()
        or details.exists()
    )


class _Buyers:
    """The buyers of a batch of bills: how each is named and taxed."""

    def __init__(self, seller: Seller, accounts: Iterable[int], at: datetime) -> None:
        self._seller, self._sold_by, self._at = seller, seller.snapshot(), at
        self._details = {row.account_id: row for row in BillingDetails.objects.filter(any_of("account", accounts))}
        self._rates = [row.rate for row in TaxRate.objects.filter(valid_from__lte=at)]
        self._accounts = accounts

    @cached_property
    def _users(self) -> dict[int, Any]:
        return {user.pk: user for user in get_user_model().objects.filter(any_of("pk", self._accounts))}

    def parties(self, account: int) -> Parties:
        """Where no details are known the buyer is the user, in the seller's country, for which the tax is, too."""
        user = self._users[account]
        details = self._details.get(account)
        if details is None:
            name = user.get_full_name() or user.get_username()
            details = BillingDetails(name=name, country=self._seller.country)
        return Parties(self._sold_by, details.snapshot() | {"email": user.email}, self._seller.payment_days)

    def treatment(self, account: int) -> Treatment:
        details = self._details.get(account)
        buyer = details.place if details is not None else tax.Place(self._seller.country, False)
        included = settings.PRICES_INCLUDE_TAX
        return tax.treatment(self._seller.place, buyer, self._rates, self._at, included=included)


def _taxed(bill: Bill, buyers: _Buyers) -> Bill:
    account = bill.subscription.account_id
    lines = list(_with_treatments(bill.lines, buyers.treatment(account)))
    sold = [(line.treatment, line.amount) for line in lines if line.treatment is not None]
    sums = tax.tax_sums(sold, bill.currency)
    lines += [
        _tax_line(each, [line for line in lines if line.treatment == each.treatment])
        for each in sums
        if each.tax and not each.treatment.included
    ]
    return replace(bill, lines=tuple(lines), taxes=sums, parties=buyers.parties(account), is_taxed=True)


def _with_treatments(lines: Iterable[Line], present: Treatment) -> Iterable[Line]:
    """What is given back bears the tax at which it was billed; so it becomes several lines where that were several."""
    for line in lines:
        if line.kind in NOT_SOLD:
            yield line
        elif (gives_back := _GIVES_BACK.get(line.kind)) and line.amount < 0 and line.sold and line.sold.pk:
            for treatment, part in tax.take(-line.amount, gives_back(line.sold).left()):
                yield replace(line, amount=-part, treatment=treatment)
        else:
            yield replace(line, treatment=present)


def _tax_line(each: tax.TaxSum, of: Sequence[Line]) -> Line:
    time = Period(min(line.period.start for line in of), max(line.period.end for line in of))
    return Line(Kind.TAX, each.treatment.label(), each.tax, time, treatment=each.treatment)
