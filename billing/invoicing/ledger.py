"""What an account owes and is owed: sums over its documents, and the writes that keep them in step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.models import BalanceEntry, Invoice, InvoiceLine, Subscription
from billing.models.invoices import NOTHING
from billing.rules.money import is_exact
from billing.rules.periods import Period
from billing.rules.refused import Refused

Kind = InvoiceLine.Kind


class BillingError(Refused, ValueError):
    """What was asked for does not fit the ledger, and nothing was written."""


def balance(account: int, currency: str) -> Decimal:
    return balances([account]).get((account, currency), NOTHING)


def balances(accounts: Iterable[int]) -> dict[tuple[int, str], Decimal]:
    """What is owed to each account, by currency."""
    rows = BalanceEntry.objects.filter(account__in=list(accounts)).order_by().values_list("account", "currency")
    return {(account, currency): total for account, currency, total in rows.annotate(total=Sum("amount"))}


def _entry(of: Invoice, amount: Decimal, now: datetime) -> BalanceEntry:
    return BalanceEntry(account_id=of.account_id, amount=amount, currency=of.currency, invoice_id=of.pk, created_at=now)


def _give_back(of: Invoice, amount: Decimal, now: datetime, period: Period | None = None) -> list[BalanceEntry]:
    """Owe the account `amount`, and use it at once for what the account itself still owes, of `period` first."""
    entries = [_entry(of, amount, now)]
    owed = Invoice.objects.due().filter(account=of.account_id, currency=of.currency)
    earlier = list(owed.prefetch_related("lines"))
    if period is not None:
        earlier.sort(key=lambda invoice: all(line.period_end != period.end for line in invoice.lines.all()))
    for invoice in earlier:
        used = min(amount, invoice.due)
        if used <= 0:
            break
        entries.append(_entry(invoice, -used, now))
        _settle(invoice, used)
        amount -= used
    return entries


def _fits(amount: Decimal, most: Decimal, currency: str) -> bool:
    return amount.is_finite() and 0 < amount <= most and is_exact(amount, currency)


def _settle(invoice: Invoice, amount: Decimal) -> None:
    if not amount:
        return
    invoice.settled += amount
    if invoice.settled == invoice.total:
        invoice.status = Invoice.Status.PAID
    Invoice.objects.filter(pk=invoice.pk).update(settled=invoice.settled, status=invoice.status)


def _lock(invoice: Invoice) -> None:
    """Serialise all that touches the account's ledger, and read the invoice as it is now."""
    list(Subscription.objects.select_for_update().filter(account=invoice.account_id).order_by("pk"))
    invoice.refresh_from_db()
