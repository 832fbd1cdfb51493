"""Start-up checks of the settings of payments."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from billing_site.operations.checks.start import ENFORCEMENT

SECRET_KEY: Final = re.compile(r"(sk|rk)_(test|live)_\w+")


@register(ENFORCEMENT)
def check_card_settings(**_: Any) -> Iterable[CheckMessage]:
    key = settings.STRIPE_SECRET_KEY
    if not key:
        if settings.STRIPE_WEBHOOK_SECRET or settings.STRIPE_API_BASE:
            hint = "Set STRIPE_SECRET_KEY, or unset the others."
            yield Error("Cards are off: STRIPE_SECRET_KEY is not set.", hint=hint, id="billing_site.E030")
        return
    if not SECRET_KEY.fullmatch(key):
        hint = "It begins with sk_test_, sk_live_, rk_test_ or rk_live_ (pk_ is public): see docs/payments-cards.md."
        yield Error("STRIPE_SECRET_KEY is no secret key of Stripe's.", hint=hint, id="billing_site.E031")
        return
    if "_live_" in key and settings.DEBUG:
        yield Error(
            "Real cards are charged with DEBUG on, which shows errors with their values to everybody.",
            hint="Unset DEBUG, or use a key that begins with sk_test_.",
            id="billing_site.E032",
        )
    if "_live_" in key and settings.STRIPE_API_BASE:
        yield Error(
            "The key of real cards would be sent to a test server (STRIPE_API_BASE).",
            hint="Unset STRIPE_API_BASE, or use a key that begins with sk_test_.",
            id="billing_site.E033",
        )
    if not settings.STRIPE_WEBHOOK_SECRET:
        yield Warning(
            "What Stripe tells is refused, as no signature can be checked: payments are seen up to ten minutes late.",
            hint="Set STRIPE_WEBHOOK_SECRET to the signing secret of the endpoint; docs/payments-cards.md.",
            id="billing_site.W030",
        )
    elif not settings.STRIPE_WEBHOOK_SECRET.startswith("whsec_"):
        hint = "It begins with whsec_: see docs/payments-cards.md."
        yield Error("STRIPE_WEBHOOK_SECRET is no signing secret of Stripe's.", hint=hint, id="billing_site.E034")


@register(Tags.security, deploy=True)
def check_real_money(**_: Any) -> Iterable[CheckMessage]:
    if "_test_" in settings.STRIPE_SECRET_KEY:
        hint = "Use a key that begins with sk_live_, and the signing secret of its own endpoint."
        yield Warning("Cards are charged in test mode: no money moves.", hint=hint, id="billing_site.W031")
