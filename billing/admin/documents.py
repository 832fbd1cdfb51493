"""Amounts, invoices and balances as staff read them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from billing.models import Invoice, InvoiceLine
from billing.money import in_currency

NO_BREAK = "\N{NO-BREAK SPACE}"


def amount_of(amount: Decimal, currency: str) -> str:
    """With the currency's decimals and its code."""
    return f"{in_currency(amount, currency)}{NO_BREAK}{currency}"


def time_of(line: InvoiceLine) -> str:
    """Half-open, so that one line ends where the next one begins."""
    return f"{line.period_start:%Y-%m-%d %H:%M:%S} to {line.period_end:%Y-%m-%d %H:%M:%S}"


def invoice_shown(invoice: Invoice, lines: Iterable[InvoiceLine]) -> dict[str, Any]:
    """An invoice as the table that `documents.html` draws."""
    rows = [[line.description, time_of(line), amount_of(line.amount, invoice.currency)] for line in lines]
    return {
        "table": {"headers": ["Line", "Time (UTC)", "Amount"], "rows": rows},
        "total": amount_of(invoice.total, invoice.currency),
        "is_negative": invoice.total < 0,
        "is_due": invoice.status == Invoice.Status.OPEN,
    }


STATUS_COLOURS = {"Draft": "default", "Open": "warning", "Paid": "success", "Void": "danger"}
