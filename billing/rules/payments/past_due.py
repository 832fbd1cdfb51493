"""Past due: an invoice for which nothing more is tried by itself. After a grace its account is served as by default."""

from __future__ import annotations

from datetime import datetime, timedelta


def paused_from(past_due_since: datetime | None, grace_days: int) -> datetime | None:
    """From when on the account may do what the default plan gives; None while nothing is past due.

    It follows from two facts and no task: a late beat changes nothing.
    """
    return None if past_due_since is None else past_due_since + timedelta(days=grace_days)
