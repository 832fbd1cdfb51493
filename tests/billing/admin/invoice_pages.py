"""Pages of the admin where staff read an invoice, note that it was paid, credit and void it."""

from __future__ import annotations

from typing import Any

from billing.models import Invoice
from tests.billing.admin import money_pages
from tests.billing.admin.money_pages import SEEN
from tests.cast import Staff


def page(invoice: Invoice, action: str) -> str:
    return f"billing/invoice/{invoice.pk}/{action}/"


def press(staff: Staff, invoice: Invoice, action: str, **fields: Any) -> Any:
    return money_pages.press(staff, f"billing/invoice/{invoice.pk}/{action}", **fields)


def pay(staff: Staff, invoice: Invoice, amount: Any = "29.00", **fields: Any) -> Any:
    given = {"amount": amount, "received_on": "2025-11-09", "reference": "bank-1"} | fields
    return press(staff, invoice, "pay", **given)


def credit(staff: Staff, invoice: Invoice, amount: Any, **fields: Any) -> Any:
    seen = SEEN.search(staff.open(page(invoice, "credit")).content.decode())
    assert seen is not None
    return press(staff, invoice, "credit", **({"amount": amount, "reason": "outage", "seen": seen[1]} | fields))
