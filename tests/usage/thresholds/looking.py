"""What is spent, looking at what was marked, as beat does, and what was told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from billing.models import OutboxMessage
from billing.outbox.kinds import Happened
from tests.billing.metered import use
from tests.cast import Customer
from usage.models import WindowUsage
from usage.thresholds import consumer
from usage.thresholds.look import look_at_marked

SOME = {80: ("included", 500, 80), 100: ("included", 500, 100)}
"""What is told of the plan of 500 tokens."""


def spend(customer: Customer, tokens: int) -> None:
    use(customer.account, tokens, timezone.now())


def look(now: datetime | None = None) -> int:
    """What the outbox brings first, and then a whole run of the task."""
    for message in OutboxMessage.objects.order_by("pk"):
        consumer.look_again(message)
    return look_at_marked(lambda: now or timezone.now(), 60)


def told(customer: Customer) -> list[tuple[Any, ...]]:
    """Limit, its size and the percentage of each message, oldest first."""
    messages = OutboxMessage.objects.filter(kind=Happened.THRESHOLD_CROSSED, account=customer.account).order_by("pk")
    return [(it.payload["limit"], it.payload["tokens"], it.payload["percent"]) for it in messages]


def is_marked(customer: Customer) -> bool:
    return WindowUsage.objects.filter(account_id=customer.account, look_at__lte=timezone.now()).exists()
