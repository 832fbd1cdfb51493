"""A check of what webhooks need: secrets that can still be read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.checks import CheckMessage, Warning, register
from django.db import Error as DatabaseError

from billing.models import WebhookEndpoint
from billing.webhooks.secrets import SecretLost, decrypted
from ratelimit.checks import ENGINES


@register(ENGINES, deploy=True)
def check_secrets(**_: Any) -> Iterable[CheckMessage]:
    """A PostgreSQL that does not answer is told by its own check."""
    try:
        lost = sum(not _is_readable(secret) for secret in WebhookEndpoint.objects.values_list("secret", flat=True))
    except DatabaseError:
        return
    if lost:
        yield Warning(
            f"The secrets of {lost} webhook endpoints cannot be read: nothing is sent to them.",
            hint="Put the SECRET_KEY of before into SECRET_KEY_FALLBACKS, or let their owners rotate them.",
            id="billing_site.W040",
        )


def _is_readable(secret: str) -> bool:
    try:
        decrypted(secret)
    except SecretLost:
        return False
    return True
