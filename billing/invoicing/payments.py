"""Money received for an invoice."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.invoicing.ledger import BillingError, fits, lock_account, settle
from billing.models import Invoice, Payment
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.money import in_currency


def pay(invoice: Invoice, amount: Decimal, paid_at: datetime, reference: str) -> Payment:
    """Record an amount received for an invoice, in its currency. The same reference again is the same payment.

    Raises BillingError for an invoice that is not open, for more money than is due, and for a reference that was
    recorded with another amount.
    """
    with transaction.atomic():
        lock_account(invoice)
        known = Payment.objects.filter(invoice=invoice, reference=reference).first()
        if known is not None:
            if known.amount != amount:
                raise BillingError("reference_taken", reference=reference, amount=known.amount)
            return known
        if invoice.status != Invoice.Status.OPEN:
            raise BillingError("not_payable", invoice=str(invoice), status=invoice.status)
        if not fits(amount, invoice.due, invoice.currency):
            due = in_currency(invoice.due, invoice.currency)
            raise BillingError("payment_out_of_bounds", due=due, currency=invoice.currency, invoice=str(invoice))
        payment = Payment.objects.create(invoice=invoice, amount=amount, paid_at=paid_at, reference=reference)
        record(Happened.PAYMENT_RECORDED, invoice.account_id, payment=payment.pk, invoice=invoice.pk)
        settle(invoice, amount)
        return payment
