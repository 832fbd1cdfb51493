"""Facts are dated by the clock of the process that writes them; here it is compared with PostgreSQL's."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import OperationalError, connection


class ClockSkewed(OperationalError):
    """Nothing can be billed from here for now: periods would begin, and prices be taken, at another instant."""


def seconds_ahead() -> float:
    """How far this machine's clock is ahead of PostgreSQL's; below zero: behind it."""
    with connection.cursor() as cursor:
        asked = time.time()
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        row = cursor.fetchone()
        answered = time.time()
    assert row is not None
    return (asked + answered) / 2 - float(row[0])


def is_too_far(ahead: float) -> bool:
    """Whether LARGEST_CLOCK_SKEW_SECONDS allow no such distance, in either direction."""
    return abs(ahead) > settings.LARGEST_CLOCK_SKEW_SECONDS


def check_clock() -> None:
    """Raises ClockSkewed where this machine's clock is too far from PostgreSQL's."""
    ahead = seconds_ahead()
    if is_too_far(ahead):
        word = "ahead of" if ahead > 0 else "behind"
        raise ClockSkewed(
            f"this machine's clock is {abs(ahead):.0f} s {word} PostgreSQL's; nothing is billed from here"
        )
