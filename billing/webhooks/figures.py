"""Numbers about webhooks, for metrics and the home of staff: each is cheap, however much has been sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db.models import Count, Min, Q

from billing.models import WebhookDelivery, WebhookEndpoint

COUNTED: Final = 10_000


class WebhookFigures(NamedTuple):
    endpoints: int
    """Those that are enabled."""
    stopped: int
    """Those that were disabled because of their answers."""
    failing: int
    """Those that are enabled, and whose last try failed."""
    waiting: int
    """Deliveries that are not at their end, those that wait for their next try included; COUNTED: so many or more."""
    overdue_seconds: float
    """How long the one that is due first has waited for a sender; 0 where none has."""


def figures(now: datetime) -> WebhookFigures:
    enabled = Q(state=WebhookEndpoint.State.ENABLED)
    counts = WebhookEndpoint.objects.aggregate(
        enabled=Count("pk", filter=enabled), failing=Count("pk", filter=enabled & Q(failing_since__isnull=False))
    )
    pending = WebhookDelivery.objects.filter(state=WebhookDelivery.State.PENDING)
    first: datetime | None = WebhookDelivery.objects.to_be_sent().aggregate(first=Min("next_try_at"))["first"]
    overdue = max((now - first), timedelta(0)).total_seconds() if first else 0.0
    stopped = WebhookEndpoint.objects.stopped().count()
    waiting = pending.order_by()[:COUNTED].count()
    return WebhookFigures(counts["enabled"], stopped, counts["failing"], waiting, overdue)
