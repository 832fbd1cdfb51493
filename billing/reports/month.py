"""What was billed and paid in the present month, and what is due."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Count, F, Q, Sum

from billing.models import Invoice, Payment
from billing.rules.money import in_currency
from billing.rules.periods import month_window

Amounts = dict[str, Decimal]
"""By currency."""


@dataclass(frozen=True, slots=True)
class Month:
    starts_at: datetime
    billed: Amounts
    """On invoices that are not void, with tax; credit notes are not taken off."""
    paid: Amounts
    due: Amounts
    """On all open invoices, of whatever month."""
    overdue: Amounts
    open_invoices: int
    overdue_invoices: int


def money_of_month(now: datetime) -> Month:
    """Of the UTC month of an instant."""
    window = month_window(now)
    issued = Invoice.objects.billed().filter(issued_at__gte=window.start, issued_at__lt=window.end)
    paid = Payment.objects.filter(paid_at__gte=window.start, paid_at__lt=window.end)
    left, is_late = F("total") - F("settled"), Q(due_at__lt=now)
    late = {"late": Sum(left, filter=is_late), "late_count": Count("pk", filter=is_late)}
    unpaid = Invoice.objects.filter(status=Invoice.Status.OPEN).order_by().values("currency")
    sums: Any = unpaid.annotate(sum=Sum(left), count=Count("pk"), **late)
    open_ones = list(sums)
    return Month(
        window.start,
        _amounts(issued.order_by().values("currency").annotate(sum=Sum(F("net") + F("tax")))),
        _amounts(paid.order_by().values(currency=F("invoice__currency")).annotate(sum=Sum("amount"))),
        _amounts(open_ones),
        _amounts(open_ones, "late"),
        sum(row["count"] for row in open_ones),
        sum(row["late_count"] for row in open_ones),
    )


def _amounts(rows: Iterable[Any], column: str = "sum") -> Amounts:
    sums = {row["currency"]: row[column] for row in rows if row[column]}
    return {currency: in_currency(sums[currency], currency) for currency in sorted(sums)}
