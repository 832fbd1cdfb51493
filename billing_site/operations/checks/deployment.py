"""Checks of a deployment: mails that reach nobody, and what is open to everybody."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def check_mails(**_: Any) -> Iterable[CheckMessage]:
    if settings.EMAIL_BACKEND == "billing.mails.mailbox.Mailbox":
        hint = "Set EMAIL_URL, and DEFAULT_FROM_EMAIL: see docs/mails.md."
        yield Warning("Mails reach nobody: they stay in the admin's mailbox.", hint=hint, id="billing_site.W007")
    elif "localhost" in settings.DEFAULT_FROM_EMAIL + settings.SITE_URL:
        hint = "Set DEFAULT_FROM_EMAIL and SITE_URL."
        yield Warning("Mails come from localhost, or lead there.", hint=hint, id="billing_site.W007")


@register(Tags.security, deploy=True)
def check_what_is_open(**_: Any) -> Iterable[CheckMessage]:
    """What is meant for trying things out, and who stands between the site and its clients."""
    if not settings.METRICS_TOKEN:
        hint = "Set METRICS_TOKEN, and have Prometheus send it as a bearer token."
        yield Warning("Whoever reaches the site can read /metrics.", hint=hint, id="billing_site.W003")
    if settings.SANDBOX:
        hint = "Unset SANDBOX: its endpoints fail and wait as their callers say."
        yield Warning("The sandbox's endpoints are mounted.", hint=hint, id="billing_site.W004")
    if not settings.BEHIND_PROXY:
        yield Warning(
            "No proxy is said to stand before the site: slow clients are the web server's own business.",
            hint="Put a proxy that buffers requests before it and set BEHIND_PROXY=1.",
            id="billing_site.W005",
        )
    elif not settings.CLIENT_ADDRESS_HEADER:
        yield Warning(
            "Behind the proxy all clients have one address: what one of them does wrong is held against all.",
            hint="Set CLIENT_ADDRESS_HEADER to the header in which the proxy always writes the client's address.",
            id="billing_site.W006",
        )
