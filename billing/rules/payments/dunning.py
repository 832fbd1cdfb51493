"""Dunning: when a charge that failed is tried again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta


def next_try(first_tried_at: datetime, now: datetime, days: Sequence[int]) -> datetime | None:
    """When an invoice is tried again whose tries have failed; None: never.

    `days` (DUNNING_DAYS) count from its first try, not from the last, so a late beat delays one try and not those after
    it. Tries whose day has passed meanwhile are made up for by none.
    """
    tries = (first_tried_at + timedelta(days=day) for day in sorted(days))
    return next((at for at in tries if at > now), None)


def waits_until(first_tried_at: datetime, days: Sequence[int]) -> datetime:
    """How long a charge waits for its customer to confirm it: until the last day on which one would be tried."""
    return first_tried_at + timedelta(days=max(days, default=0))
