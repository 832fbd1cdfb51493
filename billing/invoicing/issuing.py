"""The only writer of invoices, credit notes, payments and balances. Callers hold the subscription's row lock.

For every account and currency: billed - credit notes = paid + due - balance, where billed is all lines of invoices that
are not void, but for the balance they used. A balance is never negative, and there is none while anything is due. For
every period of a subscription: billed - credit notes >= 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import QuerySet, Sum

from billing.bulk_insert import copy_rows
from billing.invoicing.numbering import CREDIT_NOTES, INVOICES, take_numbers
from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, Payment, Subscription
from billing.rules.money import in_currency, is_exact
from billing.rules.periods import Period

Kind = InvoiceLine.Kind
NOTHING = Decimal(0)


class BillingError(ValueError):
    """What was asked for does not fit the ledger; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be billed. `amount` is negative for a credit."""

    kind: InvoiceLine.Kind
    description: str
    amount: Decimal
    period: Period


@dataclass(frozen=True, slots=True)
class Bill:
    """What one subscription is to be invoiced for."""

    subscription: Subscription
    currency: str
    lines: tuple[Line, ...]

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), NOTHING)


def issue(bills: Sequence[Bill], now: datetime) -> list[Invoice]:
    """Issue one invoice a bill, in the caller's transaction and as its last step: the numbers are gapless.

    A balance is used up to the total, as a line of its own. A negative total lowers what the account still owes on
    earlier invoices, those for the same time first; only the rest, which was paid, becomes balance.
    """
    available = balances({bill.subscription.account_id for bill in bills})
    billed = [_with_balance(bill, available) for bill in bills]
    # Known beforehand, so that the lines can go first and an invoice is issued by the one statement that writes it.
    pairs = [(_invoice(pk, bill, now), bill) for pk, bill in zip(_reserve_ids(len(bills)), billed, strict=True)]
    copy_rows(list(_rows(pairs)))
    entries = [_entry(invoice, line.amount, now) for invoice, bill in pairs for line in bill.lines if _is_balance(line)]
    for invoice, bill in pairs:
        if invoice.total < 0:
            entries += _give_back(invoice, -invoice.total, now, bill.lines[0].period)
    BalanceEntry.objects.bulk_create(entries)
    invoices = [invoice for invoice, _ in pairs]
    for invoice, number in zip(invoices, take_numbers(INVOICES, len(invoices)), strict=True):
        invoice.number = number
    copy_rows(invoices)
    return invoices


def pay(invoice: Invoice, amount: Decimal, paid_at: datetime, reference: str) -> Payment:
    """Record money received for an invoice. The same reference again is the same payment.

    Raises BillingError for an invoice that is not open, or more money than is due.
    """
    with transaction.atomic():
        _lock(invoice)
        known = Payment.objects.filter(invoice=invoice, reference=reference).first()
        if known is not None:
            if known.amount != amount:
                raise BillingError(f"{reference} was recorded as {known.amount}; give another reference")
            return known
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError(f"{invoice} is {invoice.status}; only an open invoice is paid")
        if not _fits(amount, due(invoice), invoice.currency):
            raise BillingError(f"{in_currency(due(invoice), invoice.currency)} {invoice.currency} is due on {invoice}")
        payment = Payment.objects.create(invoice=invoice, amount=amount, paid_at=paid_at, reference=reference)
        _settle(invoice, amount)
        return payment


def credit(invoice: Invoice, amount: Decimal, reason: str, now: datetime) -> CreditNote:
    """Issue a credit note: it takes off what is due on the invoice first, then on others; the rest becomes balance.

    Raises BillingError for an invoice that was not issued, or for more than was billed on it net of earlier credits.
    """
    with transaction.atomic():
        _lock(invoice)
        if invoice.status not in (Invoice.Status.OPEN, Invoice.Status.PAID):
            raise BillingError(f"{invoice} is {invoice.status}; only an issued invoice is credited")
        left = creditable(invoice)
        if not _fits(amount, left, invoice.currency):
            most = in_currency(left, invoice.currency)
            raise BillingError(f"between 0 and {most} {invoice.currency} can be credited on {invoice}")
        off_due = min(amount, due(invoice))
        _settle(invoice, off_due)
        entries = _give_back(invoice, amount - off_due, now) if amount > off_due else []
        note = CreditNote(
            account_id=invoice.account_id,
            invoice=invoice,
            amount=amount,
            currency=invoice.currency,
            reason=reason,
            issued_at=now,
        )
        (note.number,) = take_numbers(CREDIT_NOTES, 1)
        note.save()
        for entry in entries[:1]:  # what is owed; the others are what it was used for
            entry.invoice, entry.credit_note = None, note
        BalanceEntry.objects.bulk_create(entries)
        return note


def void(invoice: Invoice, now: datetime) -> Invoice:
    """Take back an invoice that nothing was paid, credited or settled on: it counts as never billed.

    Raises BillingError where a credit note is the way: something was settled, its balance used, or a later change of
    plan has already credited what it bills.
    """
    with transaction.atomic():
        _lock(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError(f"{invoice} is {invoice.status}; only an open invoice is voided")
        if invoice.settled or billed_on(invoice) != invoice.total or creditable(invoice) != invoice.total:
            raise BillingError(f"part of {invoice} is settled or credited; issue a credit note instead")
        invoice.status, invoice.voided_at = Invoice.Status.VOID, now
        Invoice.objects.filter(pk=invoice.pk).update(status=invoice.status, voided_at=now)
        return invoice


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


def _reserve_ids(count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [Invoice._meta.db_table, count],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _invoice(pk: int, bill: Bill, now: datetime) -> Invoice:
    total = bill.total
    return Invoice(
        pk=pk,
        account_id=bill.subscription.account_id,
        subscription_id=bill.subscription.pk,
        status=Invoice.Status.OPEN if total > 0 else Invoice.Status.PAID,
        currency=bill.currency,
        total=total,
        created_at=now,
        issued_at=now,
    )


def _is_balance(line: Line) -> bool:
    return line.kind == Kind.BALANCE


def _with_balance(bill: Bill, available: dict[tuple[int, str], Decimal]) -> Bill:
    """The bill with what it uses of the account's balance; `available` shrinks by it, for the account's next bill."""
    owner = (bill.subscription.account_id, bill.currency)
    used = min(available[owner], bill.total) if owner in available else NOTHING
    if used <= 0:
        return bill
    available[owner] -= used
    line = Line(Kind.BALANCE, "Balance from earlier credits", -used, bill.lines[-1].period)
    return Bill(bill.subscription, bill.currency, (*bill.lines, line))


def _rows(pairs: Iterable[tuple[Invoice, Bill]]) -> Iterable[InvoiceLine]:
    for invoice, bill in pairs:
        for position, line in enumerate(bill.lines, start=1):
            yield InvoiceLine(
                invoice_id=invoice.pk,
                position=position,
                kind=line.kind,
                description=line.description,
                amount=line.amount,
                period_start=line.period.start,
                period_end=line.period.end,
            )


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
    Invoice.objects.filter(pk=invoice.pk).update(settled=invoice.settled, status=invoice.status)


def _lock(invoice: Invoice) -> None:
    """Serialise all that touches the account's ledger, and read the invoice as it is now."""
    list(Subscription.objects.select_for_update().filter(account=invoice.account_id).order_by("pk"))
    invoice.refresh_from_db()
