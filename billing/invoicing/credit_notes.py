"""Taking back what was billed: credit notes, and invoices that never counted."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.invoicing.ledger import (
    BillingError,
    _fits,
    _give_back,
    _lock,
    _settle,
    billed_on,
    creditable,
    due,
)
from billing.invoicing.numbering import CREDIT_NOTES, take_numbers
from billing.models import BalanceEntry, CreditNote, Invoice
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency


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
        record(Happened.CREDIT_NOTE_ISSUED, invoice.account_id, credit_note=note.pk, invoice=invoice.pk)
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
        record(Happened.INVOICE_VOIDED, invoice.account_id, invoice=invoice.pk)
        return invoice
