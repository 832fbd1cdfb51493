"""Amounts, invoices and balances as staff read them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from billing.models import CouponRedemption, Invoice, InvoiceLine
from billing.rules.money import in_currency
from billing.subscriptions.staff.documents import Documents

NO_BREAK = "\N{NO-BREAK SPACE}"


def amount_of(amount: Decimal, currency: str) -> str:
    """With the currency's decimals and its code."""
    return f"{in_currency(amount, currency)}{NO_BREAK}{currency}"


def party_of(party: dict[str, Any] | None) -> str:
    """A seller or buyer of an invoice in one line; "none" where there was no seller."""
    if not party:
        return "none"
    named = ("name", "address", "postcode", "city", "country", "vat_id")
    return ", ".join(party[name].replace("\n", ", ") for name in named if party[name])


def time_of(line: InvoiceLine) -> str:
    """Half-open, so that one line ends where the next one begins."""
    return f"{line.period_start:%Y-%m-%d %H:%M:%S} to {line.period_end:%Y-%m-%d %H:%M:%S}"


def invoice_shown(invoice: Invoice, lines: Iterable[InvoiceLine]) -> dict[str, Any]:
    """An invoice as `documents.html` draws it."""
    rows = [[line.description, time_of(line), amount_of(line.amount, invoice.currency)] for line in lines]
    return {
        "table": {"headers": ["Line", "Time (UTC)", "Amount"], "rows": rows},
        "total": amount_of(invoice.total, invoice.currency),
        "is_negative": invoice.total < 0,
        "is_due": invoice.status == Invoice.Status.OPEN,
    }


def button(text: str, **about: Any) -> str:
    """Unfold's, in a cell of a table; `about` is what its template knows, such as `href`."""
    return render_to_string("unfold/components/button.html", {"children": text, **about})


def invoice_link(invoice: Invoice, page: str = "change") -> str:
    url = reverse(f"admin:billing_invoice_{page}", args=[invoice.pk])
    return format_html('<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>', url, invoice)


def redemption_link(redemption: CouponRedemption) -> str:
    """To where it is withdrawn, with what it gives."""
    url, coupon = reverse("admin:billing_couponredemption_change", args=[redemption.pk]), redemption.coupon
    link = '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>, {} off, {}'
    return format_html(link, url, coupon, coupon.takes(), periods_shown(redemption.periods_left, "left"))


def periods_shown(periods: int | None, what: str = "") -> str:
    """How many a coupon discounts; None means all."""
    return f"{'all' if periods is None else periods} period{'' if periods == 1 else 's'} {what}".strip()


def credit_rows(invoices: Iterable[Invoice]) -> list[list[str]]:
    """Those of the invoices on which something can be credited, each leading to the form for it."""
    left = [(invoice, invoice.creditable()) for invoice in invoices]
    return [
        [
            invoice_link(invoice, "credit"),
            f"{invoice.issued_at:%Y-%m-%d %H:%M:%S}",
            amount_of(invoice.total, invoice.currency),
            amount_of(amount, invoice.currency),
        ]
        for invoice, amount in left
        if amount
    ]


STATUS_COLOURS = {"Draft": "default", "Open": "warning", "Paid": "success", "Void": "danger"}


def documents_shown(documents: Documents) -> dict[str, Any]:
    """As documents.html draws them."""
    return {
        "invoices": [invoice_shown(invoice, lines) for invoice, lines in documents.invoices],
        "settled": [(entry.invoice, amount_of(-entry.amount, entry.currency)) for entry in documents.settled],
        "balance": amount_of(documents.balance, documents.currency),
    }
