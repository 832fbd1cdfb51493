"""The only writer of invoices, credit notes, payments and balances. Callers hold the subscription's row lock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import F, Sum

from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, Payment, Subscription
from billing.money import in_currency, is_exact
from billing.periods import Period

Kind = InvoiceLine.Kind
INVOICES, CREDIT_NOTES = "INV", "CN"


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


def issue(bills: Sequence[Bill], now: datetime) -> list[Invoice]:
    """Issue one invoice a bill, in the caller's transaction and as its last step: the numbers are gapless.

    A balance is used up to the total, as a line of its own. A negative total lowers what the account still owes on
    earlier invoices; only the rest, which was paid, becomes balance.
    """
    available = balances({bill.subscription.account_id for bill in bills})
    billed = [_with_balance(bill, available) for bill in bills]
    invoices = Invoice.objects.bulk_create(
        Invoice(
            account_id=bill.subscription.account_id,
            subscription=bill.subscription,
            currency=bill.currency,
            total=sum((line.amount for line in bill.lines), Decimal(0)),
            created_at=now,
        )
        for bill in billed
    )
    pairs = list(zip(invoices, billed, strict=True))
    InvoiceLine.objects.bulk_create(_rows(pairs))
    BalanceEntry.objects.bulk_create(_balance_used(pairs, now))
    for invoice in invoices:
        if invoice.total < 0:
            _give_back(invoice, -invoice.total, now, invoice=invoice)
    _number(invoices, now)
    return invoices


def pay(invoice: Invoice, amount: Decimal, paid_at: datetime, reference: str) -> Payment:
    """Record money received for an invoice. The same reference again is the same payment.

    Raises BillingError for an invoice that is not open, or more money than is due.
    """
    with transaction.atomic():
        _lock_account(invoice)
        invoice.refresh_from_db()
        known = Payment.objects.filter(invoice=invoice, reference=reference).first()
        if known is not None:
            if known.amount != amount:
                raise BillingError(f"{reference} was recorded as {known.amount}; give another reference")
            return known
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError(f"{invoice} is {invoice.status}; only an open invoice is paid")
        if not 0 < amount <= due(invoice) or not is_exact(amount, invoice.currency):
            raise BillingError(f"{in_currency(due(invoice), invoice.currency)} {invoice.currency} is due on {invoice}")
        payment = Payment.objects.create(invoice=invoice, amount=amount, paid_at=paid_at, reference=reference)
        _settle(invoice, amount)
        return payment


def credit(invoice: Invoice, amount: Decimal, reason: str, now: datetime) -> CreditNote:
    """Issue a credit note: it takes off what is due on the invoice first, the rest becomes balance.

    Raises BillingError for an invoice that was not issued, or for more than was billed on it net of earlier credits.
    """
    with transaction.atomic():
        _lock_account(invoice)
        invoice.refresh_from_db()
        if invoice.status not in (Invoice.Status.OPEN, Invoice.Status.PAID):
            raise BillingError(f"{invoice} is {invoice.status}; only an issued invoice is credited")
        left = creditable(invoice)
        if not 0 < amount <= left or not is_exact(amount, invoice.currency):
            most = in_currency(max(left, Decimal(0)), invoice.currency)
            raise BillingError(f"between 0 and {most} {invoice.currency} can be credited on {invoice}")
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
        off_due = min(amount, due(invoice))
        _settle(invoice, off_due)
        if amount > off_due:
            _give_back(invoice, amount - off_due, now, credit_note=note)
        return note


def due(invoice: Invoice) -> Decimal:
    """What is still to be paid; 0 of an invoice with a negative total."""
    return max(invoice.total - invoice.settled, Decimal(0))


def creditable(invoice: Invoice) -> Decimal:
    """What was billed on the invoice, net of earlier credit notes."""
    noted = CreditNote.objects.filter(invoice=invoice).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return invoice.total - noted


def balance(account: int, currency: str) -> Decimal:
    return balances([account]).get((account, currency), Decimal(0))


def balances(accounts: Iterable[int]) -> dict[tuple[int, str], Decimal]:
    """What is owed to each account, by currency."""
    rows = BalanceEntry.objects.filter(account__in=list(accounts)).values_list("account", "currency")
    return {(account, currency): total for account, currency, total in rows.annotate(total=Sum("amount"))}


def billed_in(subscription: Subscription, period: Period) -> Decimal:
    """What was billed for a period, net of the credits given for it since: no later credit may exceed it."""
    lines = InvoiceLine.objects.filter(
        invoice__subscription=subscription,
        period_start__gte=period.start,
        period_end__lte=period.end,
    ).exclude(kind=Kind.BALANCE)
    invoices = lines.values("invoice")
    billed = lines.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    noted = CreditNote.objects.filter(invoice__in=invoices).aggregate(sum=Sum("amount"))["sum"] or Decimal(0)
    return max(Decimal(billed) - noted, Decimal(0))


def _number(invoices: Sequence[Invoice], now: datetime) -> None:
    for invoice, number in zip(invoices, take_numbers(INVOICES, len(invoices)), strict=True):
        invoice.number, invoice.issued_at = number, now
        invoice.status = Invoice.Status.OPEN if invoice.total > 0 else Invoice.Status.PAID
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_invoice SET number = given.number, status = given.status, issued_at = %s"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS given (id, number, status)"
            " WHERE billing_invoice.id = given.id",
            [now, [i.pk for i in invoices], [i.number for i in invoices], [str(i.status) for i in invoices]],
        )


def take_numbers(series: str, count: int) -> list[str]:
    """The next numbers of a series. Its row stays locked until the transaction ends, so nothing is skipped."""
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_documentnumber AS number (series, last) VALUES (%s, %s)"
            " ON CONFLICT (series) DO UPDATE SET last = number.last + EXCLUDED.last RETURNING last",
            [series, count],
        )
        last = int(cursor.fetchone()[0])
    return [f"{series}-{number:06d}" for number in range(last - count + 1, last + 1)]


def _with_balance(bill: Bill, available: dict[tuple[int, str], Decimal]) -> Bill:
    """The bill with what it uses of the account's balance; `available` shrinks by it, for the account's next bill."""
    total = sum((line.amount for line in bill.lines), Decimal(0))
    owner = (bill.subscription.account_id, bill.currency)
    used = min(available.get(owner, Decimal(0)), total)
    if used <= 0:
        return bill
    available[owner] -= used
    line = Line(Kind.BALANCE, "Balance from earlier credits", -used, bill.lines[-1].period)
    return Bill(bill.subscription, bill.currency, (*bill.lines, line))


def _rows(pairs: Iterable[tuple[Invoice, Bill]]) -> Iterable[InvoiceLine]:
    for invoice, bill in pairs:
        for position, line in enumerate(bill.lines, start=1):
            yield InvoiceLine(
                invoice=invoice,
                position=position,
                kind=line.kind,
                description=line.description,
                amount=line.amount,
                period_start=line.period.start,
                period_end=line.period.end,
            )


def _balance_used(pairs: Iterable[tuple[Invoice, Bill]], now: datetime) -> Iterable[BalanceEntry]:
    for invoice, bill in pairs:
        for line in bill.lines:
            if line.kind == Kind.BALANCE:
                yield _entry(invoice, line.amount, now, invoice=invoice)


def _entry(
    of: Invoice,
    amount: Decimal,
    now: datetime,
    *,
    invoice: Invoice | None = None,
    credit_note: CreditNote | None = None,
) -> BalanceEntry:
    return BalanceEntry(
        account_id=of.account_id,
        amount=amount,
        currency=of.currency,
        invoice=invoice,
        credit_note=credit_note,
        created_at=now,
    )


def _give_back(
    of: Invoice,
    amount: Decimal,
    now: datetime,
    *,
    invoice: Invoice | None = None,
    credit_note: CreditNote | None = None,
) -> None:
    """Owe the account `amount`, and use it at once for what the account itself still owes."""
    _entry(of, amount, now, invoice=invoice, credit_note=credit_note).save()
    owed = Invoice.objects.filter(account=of.account_id, currency=of.currency, status=Invoice.Status.OPEN)
    for earlier in owed.order_by("issued_at", "pk"):
        used = min(amount, due(earlier))
        if used <= 0:
            break
        _entry(of, -used, now, invoice=earlier).save()
        _settle(earlier, used)
        amount -= used


def _settle(invoice: Invoice, amount: Decimal) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(settled=F("settled") + amount)
    invoice.refresh_from_db()
    if invoice.status == Invoice.Status.OPEN and due(invoice) == 0:
        invoice.status = Invoice.Status.PAID
        Invoice.objects.filter(pk=invoice.pk).update(status=invoice.status)


def _lock_account(invoice: Invoice) -> None:
    Subscription.objects.select_for_update().get(pk=invoice.subscription_id)
