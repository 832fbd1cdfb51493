"""The ledger of an account: its balance, and the writes that settle invoices. Amounts are in one currency each.

What is due or creditable on one invoice are methods of `Invoice`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.invoicing.pack_activation import activate_paid
from billing.models import BalanceEntry, BillingPeriod, Invoice, InvoiceLine, Subscription
from billing.models.invoices import NOTHING
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.postgres.any_of import any_of
from billing.rules.money import is_exact
from billing.rules.refused import Refused

Kind = InvoiceLine.Kind


class BillingError(Refused, ValueError):
    """What was asked for does not fit the ledger, and nothing was written."""


def balance(account: int, currency: str) -> Decimal:
    """What is owed to the account in a currency; never below 0."""
    return balances([account]).get((account, currency), NOTHING)


def balances(accounts: Iterable[int]) -> dict[tuple[int, str], Decimal]:
    """What is owed to the accounts, by account and currency; those without any entry are left out."""
    rows = BalanceEntry.objects.filter(any_of("account", accounts)).order_by().values_list("account", "currency")
    return {(account, currency): total for account, currency, total in rows.annotate(total=Sum("amount"))}


def balance_entry(of: Invoice, amount: Decimal, now: datetime) -> BalanceEntry:
    return BalanceEntry(account_id=of.account_id, amount=amount, currency=of.currency, invoice_id=of.pk, created_at=now)


def give_back(of: Invoice, amount: Decimal, now: datetime, sold: BillingPeriod | None = None) -> list[BalanceEntry]:
    """Entries, to be saved, that owe `amount` to the account of an invoice and use it at once for its open invoices.

    Those are settled: first the ones with a line of the billing period `sold`, then the others, the oldest first.
    """
    entries = [balance_entry(of, amount, now)]
    owed = Invoice.objects.due().filter(account=of.account_id, currency=of.currency)
    earlier = list(owed.prefetch_related("lines"))
    if sold is not None:
        earlier.sort(key=lambda invoice: all(line.billing_period_id != sold.pk for line in invoice.lines.all()))
    for invoice in earlier:
        used = min(amount, invoice.due)
        if used <= 0:
            break
        entries.append(balance_entry(invoice, -used, now))
        settle(invoice, used)
        amount -= used
    return entries


def fits(amount: Decimal, most: Decimal, currency: str) -> bool:
    """Whether it is above 0, at most `most`, and exact in the currency."""
    return amount.is_finite() and 0 < amount <= most and is_exact(amount, currency)


def settle(invoice: Invoice, amount: Decimal, *, credited: bool = False) -> None:
    """Take an amount that is at most what is due off an invoice; with nothing left due it is paid.

    What was bought with it counts from then on, unless the last of it was `credited`.
    """
    if not amount:
        return
    invoice.settled += amount
    if invoice.settled == invoice.total:
        invoice.status = Invoice.Status.PAID
        record(Happened.INVOICE_PAID, invoice.account_id, invoice=invoice.pk)
    Invoice.objects.filter(pk=invoice.pk).update(settled=invoice.settled, status=invoice.status)
    if invoice.status == Invoice.Status.PAID and not credited:
        activate_paid(invoice)


def lock_account(invoice: Invoice) -> None:
    """Lock the subscriptions of the invoice's account, and read the invoice as it is now.

    Whoever writes to an account's ledger holds this lock.
    """
    Subscription.objects.lock_all_of(invoice.account_id)
    invoice.refresh_from_db()
