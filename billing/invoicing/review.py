"""Which bills staff look at before they go out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count

from billing.invoicing.bills import Bill
from billing.invoicing.ledger import Kind
from billing.models import Invoice
from billing.postgres.any_of import any_of
from billing.rules.currency_worth import per_dollar


def review_reason(bills: Sequence[Bill], issued_today: Mapping[int, int]) -> str:
    """Why one account's bills look wrong; "" when they do not.

    By what they come to with tax, so give it taxed bills. `issued_today` has the invoices of the last 24 hours by
    account. The bounds are `largest_invoice` and the setting MOST_INVOICES_A_DAY.
    """
    for bill in bills:
        bound = largest_invoice(bill.currency)
        if abs(bill.total) > bound:
            return f"an invoice of {bill.total} {bill.currency} is larger than {bound}"
        if any(line.kind == Kind.BASE and line.amount < 0 for line in bill.lines):
            return "a base price is negative"
    account = bills[0].subscription.account_id if bills else 0
    if bills and issued_today.get(account, 0) + len(bills) > settings.MOST_INVOICES_A_DAY:
        return f"more than {settings.MOST_INVOICES_A_DAY} invoices in a day"
    return ""


def largest_invoice(currency: str) -> int:
    """The bound in major units: the currency's own in LARGEST_INVOICES, or about what LARGEST_INVOICE is in dollars."""
    own: int | None = settings.LARGEST_INVOICES.get(currency)
    return settings.LARGEST_INVOICE * per_dollar(currency) if own is None else own


def issued_today(accounts: Iterable[int], now: datetime) -> dict[int, int]:
    """Invoices issued to each account in the last 24 hours."""
    since = now - timedelta(days=1)
    rows = Invoice.objects.filter(any_of("account", accounts), issued_at__gt=since, issued_at__lte=now)
    return dict(rows.order_by().values_list("account").annotate(count=Count("pk")))
