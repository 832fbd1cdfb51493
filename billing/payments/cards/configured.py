"""Which provider charges cards on this site, if any."""

from __future__ import annotations

from functools import cache

from django.conf import settings

from billing.payments.cards.gateway import Gateway


def card_gateway() -> Gateway | None:
    """None: nothing is configured, and cards are off."""
    if not settings.STRIPE_SECRET_KEY:
        return None
    return _stripe(settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET, settings.STRIPE_API_BASE)


@cache
def _stripe(key: str, webhook_secret: str, api_base: str) -> Gateway:
    from billing.payments.cards.stripe_gateway import StripeGateway  # costs 100 ms: only where it is used

    return StripeGateway(key, webhook_secret, api_base=api_base)
