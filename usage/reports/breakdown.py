"""Tokens by feature: how the counter of a window came about."""

from __future__ import annotations

from datetime import datetime

from usage.drain import drain
from usage.models import FeatureUsage


def breakdown(account: int, window_start: datetime) -> dict[str, int]:
    """Tokens by feature in the account's usage window that starts then, the most first.

    Every call answered before counts: the log's sums are brought up to now first. Raises drain.Behind.
    """
    drain.catch_up(account)
    used = FeatureUsage.objects.filter(account_id=account, window_starts_at=window_start, tokens__gt=0)
    return dict(used.order_by("-tokens", "feature").values_list("feature", "tokens"))
