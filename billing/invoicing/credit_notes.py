"""Taking back what was billed: credit notes, and invoices that never counted."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum

from billing.invoicing import past_due
from billing.invoicing.ledger import BillingError, fits, give_back, lock_account, settle
from billing.invoicing.numbering import CREDIT_NOTES, take_numbers
from billing.models import BalanceEntry, CreditNote, CreditNoteTax, Invoice, InvoiceLine, InvoiceTax
from billing.models.invoicing.invoices import NOTHING
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules import tax
from billing.rules.money import in_currency
from billing.rules.tax import TaxSum


def credit(invoice: Invoice, amount: Decimal, reason: str, now: datetime) -> CreditNote:
    """Issue a credit note over an amount in the invoice's currency, with tax.

    It is taken off what is due on the invoice, then off the account's other open invoices; the rest becomes balance.
    Raises BillingError for an invoice that is a draft or void, and for more than `Invoice.creditable`.
    """
    with transaction.atomic():
        lock_account(invoice)
        if not invoice.is_billed:
            raise BillingError("not_creditable", invoice=str(invoice), status=invoice.status)
        left = invoice.creditable()
        if not fits(amount, left, invoice.currency):
            most = in_currency(left, invoice.currency)
            raise BillingError("credit_out_of_bounds", most=most, currency=invoice.currency, invoice=str(invoice))
        taxes = _taxes(invoice, amount)
        off_due = min(amount, invoice.due)
        settle(invoice, off_due, credited=True)
        entries = give_back(invoice, amount - off_due, now) if amount > off_due else []
        note = CreditNote(
            account_id=invoice.account_id,
            invoice=invoice,
            amount=amount,
            net=amount - sum((each.tax for _, each in taxes), NOTHING),
            tax=sum((each.tax for _, each in taxes), NOTHING),
            currency=invoice.currency,
            reason=reason,
            issued_at=now,
        )
        (note.number,) = take_numbers(CREDIT_NOTES, 1)
        note.save()
        CreditNoteTax.objects.bulk_create(
            CreditNoteTax(credit_note=note, of=of, net=each.net, tax=each.tax) for of, each in taxes
        )
        record(Happened.CREDIT_NOTE_ISSUED, invoice.account_id, credit_note=note.pk, invoice=invoice.pk)
        for entry in entries[:1]:  # what is owed to the account; the others are what that was used for
            entry.invoice, entry.credit_note = None, note
        BalanceEntry.objects.bulk_create(entries)
        return note


def _taxes(invoice: Invoice, amount: Decimal) -> list[tuple[InvoiceTax, TaxSum]]:
    """What an amount off the invoice takes off each of its treatments; none where it was issued without a seller."""
    rows = list(invoice.taxes.all())
    before = invoice.credit_notes.aggregate(sum=Sum("amount"))["sum"] or NOTHING
    return list(zip(rows, tax.shares([row.sum for row in rows], before, amount, invoice.currency), strict=True))


def void(invoice: Invoice, now: datetime) -> Invoice:
    """Take back an invoice that nothing was paid, credited or settled on: it counts as never billed.

    Raises BillingError where a credit note is the way: something was settled, its balance used, or a later change of
    plan has already credited a part of what it bills.
    """
    with transaction.atomic():
        lock_account(invoice)
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError("invoice_not_open", invoice=str(invoice), status=invoice.status)
        if invoice.settled or invoice.lines.billed() != invoice.total or invoice.creditable() != invoice.total:
            raise BillingError("invoice_settled", invoice=str(invoice))
        if (later := _credited_by(invoice)) is not None:
            raise BillingError("invoice_credited", invoice=str(invoice), later=str(later))
        invoice.status, invoice.voided_at = Invoice.Status.VOID, now
        Invoice.objects.filter(pk=invoice.pk).update(status=invoice.status, voided_at=now)
        past_due.end(invoice)
        record(Happened.INVOICE_VOIDED, invoice.account_id, invoice=invoice.pk)
        return invoice


def _credited_by(invoice: Invoice) -> Invoice | None:
    """The invoice of a change of plan that gave back a part of what this one bills, as if this one were paid."""
    periods = invoice.lines.filter(amount__gt=0).values("billing_period")
    lines = InvoiceLine.objects.filter(kind=InvoiceLine.Kind.CREDIT, billing_period__in=periods)
    others = lines.exclude(invoice=invoice).exclude(invoice__status=Invoice.Status.VOID)
    line = others.select_related("invoice").order_by("pk").last()
    return line.invoice if line is not None else None
