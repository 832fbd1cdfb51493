"""The outbox's consumer that makes webhooks: one row for what is told, and one for each delivery, in one transaction.

A message comes at least once. What was made of it before is known by its id, so it is made once. Without an endpoint
that listens, a message costs one look-up.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.utils import timezone

from billing.models import OutboxMessage, WebhookDelivery, WebhookEndpoint, WebhookMessage
from billing.webhooks.bodies import TOLD, body_of


def make_webhooks(message: OutboxMessage) -> None:
    """See billing.outbox.consumers."""
    tell = TOLD.get(message.kind)
    if tell is None:
        return
    listening = WebhookEndpoint.objects.listening(message.account_id)
    if not listening.exists():
        return
    now, version = timezone.now(), message.position
    assert version is not None  # the dispatcher has given it
    with transaction.atomic():
        try:
            told = list(tell(message))
        except ObjectDoesNotExist:
            return  # the row went with its account
        # Held until the deliveries are there: who disables an endpoint meanwhile would not find them, to end them.
        held = listening.select_for_update(of=("self",), no_key=True).order_by("pk")
        endpoints = list(held) if told else []
        for type_, data in told:
            if wanted := [endpoint for endpoint in endpoints if endpoint.takes(type_)]:
                common = {"version": version, "account": message.account_id}
                row, _ = WebhookMessage.objects.get_or_create(
                    outbox_id=message.pk,
                    type=type_,
                    defaults={
                        "id": new_id(),
                        "account_id": message.account_id,
                        "version": version,
                        "body": body_of(type_, message.recorded_at, data | common),
                        "created_at": now,
                    },
                )
                deliver(row, wanted, now)


def deliver(message: WebhookMessage, endpoints: Iterable[WebhookEndpoint], now: datetime) -> None:
    """Begin a delivery to each endpoint that has none of this message."""
    rows = [WebhookDelivery(message=message, endpoint=each, next_try_at=now, created_at=now) for each in endpoints]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)


def new_id() -> str:
    """The `webhook-id` of a message: receivers know by it what they have got before."""
    return f"msg_{secrets.token_hex(14)}"
