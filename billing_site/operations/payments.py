"""Payments as operators' tools see them; nothing while no provider is set up."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.db import Error as DatabaseError
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from billing.models import PaymentAttempt, Refund
from billing.payments.cards import events
from billing.payments.cards.configured import card_gateway

BEHIND: Final = "behind"
UNKNOWN: Final = "unknown outcomes"
FOUND_OUT_WITHIN: Final = timedelta(minutes=15)
"""The sweep asks each minute; what is still not known then, somebody should look at."""


def health() -> dict[str, str]:
    """Parts of /health, each "ok" or what is wrong. What hangs here stops no call from being served."""
    if card_gateway() is None:
        return {}
    try:
        told = {"card_events": BEHIND if events.late(timezone.now()) or events.failed() else "ok"}
        return told | {"card_attempts": UNKNOWN if unknown() else "ok"}
    except DatabaseError:  # it has gone since it was asked
        return {}


def gauges(now: datetime) -> Iterable[Metric]:
    """Raises DatabaseError."""
    if card_gateway() is not None:
        late = events.late(now)
        yield GaugeMetricFamily("metered_card_events_late", "Provider's events that wait for over 15 minutes.", late)
        yield GaugeMetricFamily("metered_card_events_failed", "Provider's events that were given up.", events.failed())
        said = "Charges and refunds by card whose answer is not known for more than 15 minutes."
        yield GaugeMetricFamily("metered_card_attempts_unknown", said, unknown())


def unknown() -> int:
    """Charges and refunds that were sent and not answered for longer than the sweep needs. Raises DatabaseError."""
    before = timezone.now() - FOUND_OUT_WITHIN
    refunds = Refund.objects.filter(state=Refund.State.UNKNOWN, changed_at__lt=before)
    return PaymentAttempt.objects.unknown().filter(created_at__lt=before).count() + refunds.count()
