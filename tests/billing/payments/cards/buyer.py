"""A customer with an open invoice and a card at the test provider, and the beat that goes on by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import ledger
from billing.models import Invoice, OutboxMessage, PastDue, PaymentAttempt, PaymentMethod
from billing.payments.cards import disputes, methods, refunds
from billing.payments.cards.answers import Answered
from billing.payments.cards.charging import automatic, dunning, sweep
from billing.payments.cards.charging.provider_reports import apply_charge
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

DAY = timedelta(days=1)
MINUTES = timedelta(minutes=2)
"""Later than any call of the provider ends."""
CHARGES = "POST /v1/payment_intents"


class Buyer:
    """`now` is when the invoice was issued; each step is given its own instant."""

    def __init__(self, customer: Customer, server: CardServer) -> None:
        gateway = card_gateway()
        assert gateway is not None
        self.customer, self.server = customer, server
        self.gateway: Gateway = gateway
        self.account = customer.account
        self.now = timezone.now()
        self.invoice = Invoice.objects.due().get(account=self.account)

    def card(self, number: str = VISA) -> PaymentMethod:
        """Another saved card, which is the default from now on."""
        reference = methods.customer_of(self.gateway, self.account, self.now)
        assert isinstance(reference, Answered)
        saved = self.server.save_card(customer=reference.value, number=number)
        PaymentMethod.objects.filter(account=self.account).update(is_default=False)
        return PaymentMethod.objects.create(
            account_id=self.account,
            provider=self.gateway.name,
            reference=saved["id"],
            is_live=self.gateway.is_live,
            brand="visa",
            last4=number[-4:],
            exp_month=12,
            exp_year=2034,
            is_default=True,
            created_at=self.now,
        )

    def declining(self, code: str) -> PaymentMethod:
        """A card whose charges are declined so from now on."""
        card = self.card()
        self.server.decline(card=card.reference, code=code)
        return card

    def issued(self, now: datetime | None = None) -> PaymentAttempt:
        """The charge that the issue of the invoice causes."""
        attempt = automatic.charge_issued(self.gateway, self.fresh(), now or self.now)
        assert attempt is not None
        return attempt

    def beat(self, now: datetime) -> None:
        """What the task does each minute."""
        sweep.work_off(self.gateway, now)
        refunds.sweep(self.gateway, now)
        dunning.retry_due(self.gateway, now)
        dunning.tell_of_pauses(now)

    def tell(self, now: datetime) -> None:
        """All that the provider has to tell, applied as its events are: fetched, whatever they say."""
        for event in self.gateway.events_since(self.now - DAY).value:  # type: ignore[union-attr]
            reference: str = event.object_reference
            if event.object_type == "payment_intent":
                apply_charge(self.gateway, self.gateway.fetch_charge(reference).value, now)  # type: ignore[union-attr]
            elif event.object_type == "refund":
                refunds.apply_refund(self.gateway, self.gateway.fetch_refund(reference).value, now)  # type: ignore[union-attr]
            elif event.object_type == "payment_method":
                methods.apply_card(self.gateway, self.gateway.fetch_card(reference).value, now)  # type: ignore[union-attr]
            elif event.object_type == "dispute":
                disputes.apply_dispute(self.gateway, self.gateway.fetch_dispute(reference).value, now)  # type: ignore[union-attr]

    def fresh(self) -> Invoice:
        return Invoice.objects.get(pk=self.invoice.pk)

    @property
    def is_paid(self) -> bool:
        return self.fresh().status == Invoice.Status.PAID

    @property
    def attempts(self) -> list[PaymentAttempt]:
        return list(PaymentAttempt.objects.filter(invoice=self.invoice).order_by("number"))

    @property
    def states(self) -> list[str]:
        return [attempt.state for attempt in self.attempts]

    @property
    def charged(self) -> int:
        """How many charges the provider was asked for and has executed, declined ones included."""
        return len([each for each in self.server.asked() if each == CHARGES])

    @property
    def balance(self) -> Any:
        return ledger.balance(self.account, self.invoice.currency)

    @property
    def past_due_since(self) -> datetime | None:
        return PastDue.objects.since([self.account]).get(self.account)

    def happened(self, kind: str) -> list[dict[str, Any]]:
        found = OutboxMessage.objects.filter(account=self.account, kind=kind).order_by("pk")
        return list(found.values_list("payload", flat=True))


@pytest.fixture
def buyer(customer: Callable[..., Customer], card_server: CardServer) -> Buyer:
    """On pro; its first invoice of 49.00 USD is open, and no card is saved."""
    return Buyer(customer("carol", "pro"), card_server)
