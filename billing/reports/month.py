"""What was billed and paid in the present month, and what is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Sum

from billing.models import Invoice, MoneyIn, Reversal
from billing.models.invoicing.invoices import is_overdue
from billing.rules.money import in_currency
from billing.rules.periods import Period, month_window

Amounts = dict[str, Decimal]
"""By currency."""


@dataclass(frozen=True, slots=True)
class Month:
    starts_at: datetime
    billed: Amounts
    """On invoices that are not void, with tax; credit notes are not taken off."""
    paid: Amounts
    """By payments: what became balance is no part of it, and what was taken back is taken off."""
    due: Amounts
    """On all open invoices, of whatever month."""
    overdue: Amounts
    open_invoices: int
    overdue_invoices: int


def money_of_month(now: datetime) -> Month:
    """Of the UTC month of an instant."""
    window = month_window(now)
    issued = Invoice.objects.billed().filter(issued_at__gte=window.start, issued_at__lt=window.end)
    left, is_late = F("total") - F("settled"), is_overdue(now)
    late = {"late": Sum(left, filter=is_late), "late_count": Count("pk", filter=is_late)}
    unpaid = Invoice.objects.filter(status=Invoice.Status.OPEN).order_by().values("currency")
    sums: Any = unpaid.annotate(sum=Sum(left), count=Count("pk"), **late)
    open_ones = list(sums)
    return Month(
        window.start,
        _amounts(issued.order_by().values("currency").annotate(sum=Sum(F("net") + F("tax")))),
        _amounts(_paid(window)),
        _amounts(open_ones),
        _amounts(open_ones, "late"),
        sum(row["count"] for row in open_ones),
        sum(row["late_count"] for row in open_ones),
    )


def _paid(window: Period) -> Any:
    """What came in and what was taken back, each without its part of the balance: what the payments come to.

    A payment has no currency of its own, and its invoice would be looked up among all that there are.
    """
    came = MoneyIn.objects.filter(received_at__gte=window.start, received_at__lt=window.end).order_by()
    back = Reversal.objects.filter(reversed_at__gte=window.start, reversed_at__lt=window.end).order_by()
    settled = came.values_list("currency").annotate(sum=Sum(F("amount") - F("to_balance")))
    due_again = back.values_list("money_in__currency").annotate(sum=Sum(F("from_balance") - F("amount")))
    return settled.union(due_again, all=True).values("currency", "sum")


def _amounts(rows: Iterable[Any], column: str = "sum") -> Amounts:
    sums: Amounts = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], Decimal(0)) + (row[column] or 0)
    return {currency: in_currency(amount, currency) for currency, amount in sorted(sums.items()) if amount}
