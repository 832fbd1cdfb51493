"""Facts are dated by the clock of the process that writes them; here it is compared with PostgreSQL's."""

from __future__ import annotations

import time

from django.conf import settings
from django.db import OperationalError, connection


class ClockSkewed(OperationalError):
    """Nothing can be billed from here for now: periods would begin, and prices be taken, at another instant."""


def check_clock() -> None:
    """Raises ClockSkewed beyond LARGEST_CLOCK_SKEW_SECONDS, in either direction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
        row = cursor.fetchone()
    assert row is not None
    ahead = time.time() - float(row[0])
    if abs(ahead) > settings.LARGEST_CLOCK_SKEW_SECONDS:
        word = "ahead of" if ahead > 0 else "behind"
        raise ClockSkewed(
            f"this machine's clock is {abs(ahead):.0f} s {word} PostgreSQL's; nothing is billed from here"
        )
