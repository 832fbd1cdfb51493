"""When beat and a worker last did something, kept in the cache: a task came from the one and ran in the other."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.core.cache import cache

KEY: Final = "last-beat"
KEPT_SECONDS: Final = 30 * 86_400


def note(now: datetime) -> None:
    cache.set(KEY, now, KEPT_SECONDS)


def read() -> datetime | None:
    """None: it is not known."""
    at: datetime | None = cache.get(KEY)
    return at
