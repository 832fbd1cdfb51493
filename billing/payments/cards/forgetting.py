"""What a provider still has to forget: cards that were removed here, and customers who were erased."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from billing.models import PaymentMethod, ProviderCustomer
from billing.payments.cards.answers import Answer, Answered
from billing.payments.cards.gateway import Gateway

AT_ONCE = 200
logger = logging.getLogger(__name__)


def tell(gateway: Gateway, now: datetime, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Tell it, while it `goes_on`; what it does not confirm is told again at the next run. Returns how many it
    confirmed."""
    ours = {"provider": gateway.name, "is_live": gateway.is_live}
    cards = PaymentMethod.objects.filter(state=PaymentMethod.State.DETACHED, provider_told_at=None, **ours)
    customers = ProviderCustomer.objects.filter(forget_at__isnull=False, forgotten_at=None, **ours)
    confirmed = 0
    for card in cards.order_by("pk")[:AT_ONCE]:
        if goes_on() and _confirms(gateway.detach_card, card.reference):
            # Not by save(): what the provider knows changes nothing that a call may do.
            confirmed += PaymentMethod.objects.filter(pk=card.pk).update(provider_told_at=now)
    for customer in customers.order_by("pk")[:AT_ONCE]:
        if goes_on() and _confirms(gateway.delete_customer, customer.reference):
            confirmed += ProviderCustomer.objects.filter(pk=customer.pk).update(forgotten_at=now)
    return confirmed


def _confirms(forget: Callable[[str], Answer[None]], reference: str) -> bool:
    answer = forget(reference)
    if isinstance(answer, Answered):
        return True
    logger.warning("the provider has not forgotten %s: %s", reference, answer)
    return False
