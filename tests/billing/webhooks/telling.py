"""Endpoints, and what happens to be told; brought through the outbox, and sent at instants of the test's choice."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from billing.models import ApiKey, WebhookDelivery, WebhookEndpoint
from billing.outbox.delivery import Delivery
from billing.outbox.positions import give_positions
from billing.webhooks import attempt, endpoints
from billing.webhooks.consumer import make_webhooks
from billing.webhooks.endpoints import NewEndpoint
from billing.webhooks.http_post import Answer

NOON = datetime(2025, 10, 16, 12, tzinfo=UTC)
CONSUMER = "webhooks"


def listen(owner: int | None, url: str, types: Collection[str] = (), by_staff: int | None = None) -> NewEndpoint:
    """An endpoint that hears what happens from now on."""
    dispatch()
    endpoints.check(url, types)
    return endpoints.create(owner, url, types, timezone.now(), by_staff=by_staff)


def listen_as_operator(url: str, types: Collection[str] = ()) -> NewEndpoint:
    staff, _ = User.objects.get_or_create(username="olga", defaults={"is_staff": True})
    return listen(None, url, types, by_staff=staff.pk)


def make_key(account: int, name: str = "server") -> ApiKey:
    """Something that happens."""
    return ApiKey.issue(account_id=account, name=name)[0]


def dispatch() -> None:
    """Bring what has happened to the consumer, as the outbox's dispatcher does."""
    give_positions([CONSUMER], timezone.now())
    Delivery(CONSUMER, make_webhooks, timezone.now).run()


def told(account: int, **row: Any) -> WebhookDelivery:
    """Something happens to the account, and is told: the newest delivery."""
    make_key(account)
    dispatch()
    return WebhookDelivery.objects.filter(**row).latest("pk")


def try_next(at: datetime | None = None) -> Answer | None:
    """The next try that is due at an instant, by the test's own hand; None where none is."""
    now = at or timezone.now()
    claimed = WebhookDelivery.objects.claim(now)
    if claimed is None:
        return None
    answer = attempt.send(claimed, now)
    assert attempt.note(claimed, answer, now)
    return answer


def anew(row: Any) -> Any:
    row.refresh_from_db()
    return row


def endpoint_of(delivery: WebhookDelivery) -> WebhookEndpoint:
    return WebhookEndpoint.objects.get(pk=delivery.endpoint_id)
