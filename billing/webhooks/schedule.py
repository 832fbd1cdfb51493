"""When a delivery that failed is tried again, and when its endpoint is given up."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

DELAYS: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
"""From each try that failed to the next one; the first try is at once."""
TRIES: Final = len(DELAYS) + 1
JITTER: Final = 0.1
"""At most so much of a delay is added to it, so that what failed at once does not come back at once."""
LONGEST_RETRY_AFTER: Final = timedelta(hours=24)
GIVEN_UP_AFTER: Final = timedelta(days=5)
"""Of failing without a success in between: the next delivery that has had all its tries disables the endpoint."""


def next_try(
    attempts: int, failed_at: datetime, retry_after: timedelta | None, chance: Callable[[], float] = random.random
) -> datetime | None:
    """When to try again after so many tries; None: that was the last one. A receiver may ask for later, not for sooner.

    `chance` gives a number from 0 to 1.
    """
    if attempts >= TRIES:
        return None
    delay = DELAYS[max(attempts, 1) - 1]
    delay += delay * JITTER * chance()
    return failed_at + max(delay, min(retry_after or timedelta(0), LONGEST_RETRY_AFTER))


def read_retry_after(header: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, in seconds or as a date; None where it says nothing."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:9]), 10**8))
    try:
        at = parsedate_to_datetime(text)
        return max(at - now, timedelta(0)) if at.tzinfo else None
    except (ValueError, TypeError, OverflowError):
        return None


def is_given_up(failing_since: datetime | None, now: datetime) -> bool:
    return failing_since is not None and now - failing_since >= GIVEN_UP_AFTER
