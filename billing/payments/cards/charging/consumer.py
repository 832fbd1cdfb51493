"""The outbox's consumer that charges cards: once for each invoice that is issued, and again with a new card."""

from __future__ import annotations

from django.utils import timezone

from billing.models import Invoice, OutboxMessage
from billing.outbox.kinds import Happened
from billing.payments.cards import methods
from billing.payments.cards.charging import automatic
from billing.payments.cards.configured import card_gateway

NEW_CARD = (Happened.PAYMENT_METHOD_SAVED, Happened.PAYMENT_METHOD_DEFAULT_SET)


def charge(message: OutboxMessage) -> None:
    """An answer that does not come is the sweep's business: this returns, and no later message waits for it."""
    gateway = card_gateway()
    if gateway is None:
        return
    if message.kind == Happened.INVOICE_ISSUED:
        invoice = Invoice.objects.get(pk=message.payload["invoice"])
        automatic.charge_issued(gateway, invoice, timezone.now())
    elif message.kind in NEW_CARD:
        card = methods.saved(message.account_id).filter(pk=message.payload["method"]).first()
        begun = automatic.begin_with(gateway, card, timezone.now()) if card is not None else []
        for attempt in begun[:1]:  # the sweep sends the others: a consumer has a lease to keep
            automatic.send(gateway, attempt, timezone.now())
