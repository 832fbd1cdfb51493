"""The outbox's consumer that has an account's counters looked at again when its limits were changed."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from billing.models import OutboxMessage
from billing.outbox.kinds import Happened
from usage.log import crossings

CHANGES_LIMITS: Final = frozenset(
    {
        Happened.LIMITS_CHANGED,
        Happened.OVERAGE_CAP_SET,
        Happened.PLAN_CHANGED,
        Happened.SCHEDULE_APPLIED,
        Happened.SUBSCRIPTION_OPENED,
        Happened.SUBSCRIPTION_ENDED,
        Happened.USAGE_RESET,
    }
)
"""What else changes them is an edit of the catalogue, which the next counted call finds, or a known instant."""


def look_again(message: OutboxMessage) -> None:
    """Twice is as good as once."""
    if message.kind in CHANGES_LIMITS:
        crossings.mark_open(message.account_id, timezone.now())
