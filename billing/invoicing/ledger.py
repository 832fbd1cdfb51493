"""The ledger of an account: its balance, and the writes that settle invoices. Amounts are in one currency each.

What is due or creditable on one invoice are methods of `Invoice`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.db.models import Sum

from billing.invoicing import past_due
from billing.invoicing.pack_activation import activate_paid
from billing.models import BalanceEntry, BillingPeriod, Invoice, InvoiceLine, Subscription
from billing.models.invoicing.invoices import NOTHING, InvoiceQuerySet
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.postgres.any_of import any_of
from billing.rules.money import is_exact
from billing.rules.refused import Refused

Kind = InvoiceLine.Kind
LARGEST = Decimal(10) ** 14


class BillingError(Refused, ValueError):
    """What was asked for does not fit the ledger, and nothing was written."""


def balance(account: int, currency: str) -> Decimal:
    """What is owed to the account in a currency. Below 0 the account owes it: money was taken back that it had used."""
    return balances([account]).get((account, currency), NOTHING)


def balances(accounts: Iterable[int]) -> dict[tuple[int, str], Decimal]:
    """What is owed to the accounts, by account and currency; those without any entry are left out."""
    rows = BalanceEntry.objects.filter(any_of("account", accounts)).order_by().values_list("account", "currency")
    return {(account, currency): total for account, currency, total in rows.annotate(total=Sum("amount"))}


def used_of(balance: Decimal, total: Decimal) -> Decimal:
    """What an invoice that comes to `total` uses of a balance: at most all of it.

    Of a balance below 0 it is the whole, so the invoice is the larger by it. An invoice that bills nothing uses none.
    """
    return min(balance, total) if total > 0 else NOTHING


def balance_entry(of: Invoice, amount: Decimal, now: datetime) -> BalanceEntry:
    return BalanceEntry(account_id=of.account_id, amount=amount, currency=of.currency, invoice_id=of.pk, created_at=now)


def give_back(of: Invoice, amount: Decimal, now: datetime, sold: BillingPeriod | None = None) -> list[BalanceEntry]:
    """Entries, to be saved, that owe `amount` to the account of an invoice and use it at once for its open invoices.

    Those are settled: first the ones with a line of the billing period `sold`, then the others, the oldest first.
    """
    earlier = list(due_of(of.account_id, of.currency).prefetch_related("lines"))
    if sold is not None:
        earlier.sort(key=lambda invoice: all(line.billing_period_id != sold.pk for line in invoice.lines.all()))
    return [balance_entry(of, amount, now), *_spend(amount, earlier, now)]


def due_of(account: int, currency: str) -> InvoiceQuerySet:
    """The account's invoices in a currency on which something is to be paid, the oldest first."""
    return Invoice.objects.due().filter(account=account, currency=currency)


def spend_balance(account: int, currency: str, now: datetime) -> None:
    """Use what is on the balance for what is due: a balance came back, or an invoice is open again."""
    BalanceEntry.objects.bulk_create(_spend(balance(account, currency), due_of(account, currency), now))


def _spend(amount: Decimal, invoices: Iterable[Invoice], now: datetime) -> list[BalanceEntry]:
    """Settle invoices in turn by an amount of the balance. Gives the entries that take it off there, to be saved."""
    entries = []
    for invoice, used in divided(amount, invoices):
        entries.append(balance_entry(invoice, -used, now))
        settle(invoice, used)
    return entries


def divided(amount: Decimal, invoices: Iterable[Invoice]) -> list[tuple[Invoice, Decimal]]:
    """What each invoice in turn gets of an amount, at most what is due on it; those that get nothing are left out."""
    parts = []
    for invoice in invoices:
        part = min(amount, invoice.due)
        if part > 0:
            parts.append((invoice, part))
            amount -= part
    return parts


def fits(amount: Decimal, most: Decimal, currency: str) -> bool:
    """Whether it is money, and at most `most`."""
    return is_money(amount, currency) and amount <= most


def is_money(amount: Decimal, currency: str) -> bool:
    """Whether it is above 0, exact in a currency that there is, and no larger than amounts are stored."""
    try:
        return amount.is_finite() and 0 < amount < LARGEST and is_exact(amount, currency)
    except ValueError:  # no currency, or more digits than money has
        return False


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
    if invoice.status == Invoice.Status.PAID:
        past_due.end(invoice)
    if invoice.status == Invoice.Status.PAID and not credited:
        activate_paid(invoice)


def reopen(invoice: Invoice, amount: Decimal) -> None:
    """Put back on an invoice an amount that it was settled by; one that was paid is open again.

    What was bought with it goes on counting.
    """
    was_paid = invoice.status == Invoice.Status.PAID
    invoice.settled, invoice.status = invoice.settled - amount, Invoice.Status.OPEN
    Invoice.objects.filter(pk=invoice.pk).update(settled=invoice.settled, status=invoice.status)
    if was_paid:
        record(Happened.INVOICE_REOPENED, invoice.account_id, invoice=invoice.pk)


def lock(account: int) -> None:
    """Lock an account's ledger until the transaction ends: its subscriptions, or its user where there is none.

    Whoever writes to the ledger holds this lock, and takes it first. Whoever has the live subscription's row has it,
    too, but for who opens a subscription.
    """
    if not _lock_subscriptions(account):
        # No stronger, as who commits another row of the account needs the user's key, and may hold what is asked next.
        list(get_user_model().objects.select_for_update(no_key=True).filter(pk=account).values_list("pk"))
        _lock_subscriptions(account)


def _lock_subscriptions(account: int) -> int:
    """How many there are: also those that were opened while this transaction waited for the others."""
    held = 0
    while (found := Subscription.objects.lock_all_of(account)) != held:
        held = found
    return held


def lock_account(invoice: Invoice) -> None:
    """Lock the ledger of the invoice's account, and read the invoice as it is now."""
    lock(invoice.account_id)
    invoice.refresh_from_db()
