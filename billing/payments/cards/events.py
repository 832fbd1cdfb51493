"""What the provider tells: kept once, however often it is told, then processed by a task."""

from __future__ import annotations

from datetime import datetime

from billing.models import ProviderEvent
from billing.payments.cards.gateway import Event, Gateway


def keep(gateway: Gateway, event: Event, now: datetime) -> ProviderEvent | None:
    """Its row; None where it was told before. Raises BadEvent where it is of the other mode, live or test."""
    raise NotImplementedError


def process(gateway: Gateway, row: int, now: datetime) -> None:
    """Fetch the object of an event and apply it. What cannot be fetched now is tried again later."""
    raise NotImplementedError


def process_waiting(gateway: Gateway, now: datetime) -> int:
    """Those whose task was lost or did not succeed; returns how many were tried."""
    raise NotImplementedError


def poll(gateway: Gateway, now: datetime) -> int:
    """Ask for what the provider would have told in the last days; returns how many were not known."""
    raise NotImplementedError
