"""Payments as operators' tools see them; nothing while no provider is set up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db import Error as DatabaseError
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric

from billing.payments.cards import events
from billing.payments.cards.configured import card_gateway

BEHIND: Final = "behind"


def health() -> dict[str, str]:
    """Parts of /health, each "ok" or what is wrong. What hangs here stops no call from being served."""
    if card_gateway() is None:
        return {}
    try:
        return {"card_events": BEHIND if events.late(timezone.now()) or events.failed() else "ok"}
    except DatabaseError:  # it has gone since it was asked
        return {}


def metrics() -> Iterable[Metric]:
    """Raises DatabaseError."""
    if card_gateway() is not None:
        late = events.late(timezone.now())
        yield GaugeMetricFamily("card_events_late", "Provider's events that wait for more than 15 minutes.", late)
        yield GaugeMetricFamily("card_events_failed", "Provider's events that were given up.", events.failed())
