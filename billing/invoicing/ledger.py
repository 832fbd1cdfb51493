"""What an account owes and is owed: sums over its documents, and the writes that keep them in step."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum

from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import is_exact
from billing.rules.periods import Period

Kind = InvoiceLine.Kind


NOTHING = Decimal(0)


class BillingError(ValueError):
    """What was asked for does not fit the ledger; the message says why."""


def due(invoice: Invoice) -> Decimal:
    """What is still to be paid; 0 of an invoice with a negative total, and of a void one."""
    if invoice.status == Invoice.Status.VOID:
        return NOTHING
    return max(invoice.total - invoice.settled, NOTHING)


def creditable(invoice: Invoice) -> Decimal:
    """What was billed on the invoice, and is not credited: neither by credit notes nor by changes of plan."""
    noted = CreditNote.objects.filter(invoice=invoice).aggregate(sum=Sum("amount"))["sum"] or NOTHING
    line = invoice.lines.first()
    if line is None:
        return NOTHING
    subscription = invoice.subscription
    sold = subscription.periods.filter(starts_at__lte=line.period_start, ends_at__gte=line.period_end).get()
    return max(min(billed_on(invoice) - noted, billed_in(subscription, sold.period)), NOTHING)


def billed_on(invoice: Invoice) -> Decimal:
    """The invoice's lines, but for the balance that they used: that was the customer's own."""
    lines = invoice.lines.exclude(kind=Kind.BALANCE)
    return Decimal(lines.aggregate(sum=Sum("amount"))["sum"] or NOTHING)


def lines_in(subscription: Subscription, period: Period) -> QuerySet[InvoiceLine]:
    """What was invoiced for a period or for a part of it."""
    within = InvoiceLine.objects.filter(period_start__gte=period.start, period_end__lte=period.end)
    return within.filter(invoice__subscription=subscription).exclude(invoice__status=Invoice.Status.VOID)


def billed_in(subscription: Subscription, period: Period) -> Decimal:
    """What was billed for a period, net of the credits and credit notes given on it: the most that can be credited."""
    lines = lines_in(subscription, period)
    billed = lines.exclude(kind=Kind.BALANCE).aggregate(sum=Sum("amount"))["sum"] or NOTHING
    noted = CreditNote.objects.filter(invoice__in=lines.values("invoice")).aggregate(sum=Sum("amount"))["sum"]
    return max(Decimal(billed) - (noted or NOTHING), NOTHING)


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
    owed = Invoice.objects.filter(account=of.account_id, currency=of.currency, status=Invoice.Status.OPEN)
    earlier = list(owed.order_by("issued_at", "pk").prefetch_related("lines"))
    if period is not None:
        earlier.sort(key=lambda invoice: all(line.period_end != period.end for line in invoice.lines.all()))
    for invoice in earlier:
        used = min(amount, due(invoice))
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
        record(Happened.INVOICE_PAID, invoice.account_id, invoice=invoice.pk)
    Invoice.objects.filter(pk=invoice.pk).update(settled=invoice.settled, status=invoice.status)


def _lock(invoice: Invoice) -> None:
    """Serialise all that touches the account's ledger, and read the invoice as it is now."""
    list(Subscription.objects.select_for_update().filter(account=invoice.account_id).order_by("pk"))
    invoice.refresh_from_db()
