"""The clock in a test's hands: the site's, and the one that judges the minute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import override_settings
from freezegun import freeze_time


@contextmanager
def clock_at(instant: str) -> Iterator[Any]:
    """Time stands still at the instant, such as 2025-10-16T12:00:00Z, until `move_to` or `tick` moves it."""
    with override_settings(RATELIMIT_CLOCK="process"), freeze_time(instant) as clock:
        yield clock
