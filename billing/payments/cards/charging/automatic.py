"""Charging invoices while the customer is away: when they are issued, and when another card is given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef

from billing.invoicing.ledger import BillingError
from billing.models import Invoice, PaymentAttempt, PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered, Rejected, Unknown
from billing.payments.cards.charging import attempts, pages
from billing.payments.cards.charging.attempts import Cause, State
from billing.payments.cards.gateway import Gateway

OTHER_REQUEST: Final = "idempotency_error"
"""The key was used before, for a request that was not quite this one: what became of that one, nobody has said."""
FIRST_MINUTES: Final = timedelta(minutes=1)
"""A call of the provider has ended by then, or its process has."""


def charge_issued(gateway: Gateway, invoice: Invoice, now: datetime) -> PaymentAttempt | None:
    """The one charge that an invoice causes when it is issued. None where there is none, or there was one."""
    method = methods.default_method(invoice.account_id)
    if method is None:
        return None
    try:
        attempt = attempts.begin(invoice, method, Cause.ISSUED, gateway.name, now)
    except BillingError:  # nothing is due, or it was begun before
        return None
    return send(gateway, attempt, now)


def begin_with(gateway: Gateway, method: PaymentMethod, now: datetime) -> list[PaymentAttempt]:
    """Try at once, with a card that was saved or made the default, what another one could not pay. Not sent yet."""
    failed = PaymentAttempt.objects.filter(invoice=OuterRef("pk"), cause__in=attempts.BY_ITSELF)
    begun = []
    for invoice in Invoice.objects.due().filter(Exists(failed), account=method.account_id):
        if PaymentAttempt.objects.filter(invoice=invoice, method=method).exists():
            continue
        for running in PaymentAttempt.objects.filter(invoice=invoice, state=State.NEEDS_ACTION):
            pages.end(gateway, running, now)
        try:
            begun.append(attempts.begin(invoice, method, Cause.METHOD, gateway.name, now))
        except BillingError:
            continue
    return begun


def send(gateway: Gateway, attempt: PaymentAttempt, now: datetime) -> PaymentAttempt:
    """Call the provider for an attempt that charges a saved card, and apply the answer. In no transaction.

    Sent again it is the same request under the same key, which the provider executes once.
    """
    if not attempts.claim(attempt, now):
        return PaymentAttempt.objects.get(pk=attempt.pk)
    method = attempt.method
    if method is None:  # erased meanwhile
        return attempts.cancel(attempt.pk, now)
    customer = methods.customer_of(gateway, attempt.account_id, now)
    if not isinstance(customer, Answered):
        return attempts.note(attempt.pk, customer, now)
    answer = gateway.charge(
        customer.value,
        method.reference,
        attempt.amount,
        attempt.currency,
        attempt=str(attempt.pk),
        description=str(attempt.invoice),
    )
    if isinstance(answer, Rejected) and answer.code == OTHER_REQUEST:
        answer = Unknown(answer.message)
    return attempts.note(attempt.pk, answer, now)


def is_stuck(attempt: PaymentAttempt, now: datetime) -> bool:
    """Whether whoever was at it has ended by now."""
    return (attempt.sent_at or attempt.created_at) <= now - FIRST_MINUTES
