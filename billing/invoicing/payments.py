"""Money received for an invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.invoicing.ledger import (
    BillingError,
    _fits,
    _lock,
    _settle,
    due,
)
from billing.models import Invoice, Payment
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency


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
        record(Happened.PAYMENT_RECORDED, invoice.account_id, payment=payment.pk, invoice=invoice.pk)
        _settle(invoice, amount)
        return payment
