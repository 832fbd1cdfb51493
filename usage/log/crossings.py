"""Marks counters whose notice thresholds have to be looked at, where they grow: whoever moves one compares two numbers.

`usage.thresholds` looks at them later, and says from how many tokens on it wants to look again. A new counter is marked
from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from django.db import connection

Window = tuple[int, int]
"""An account, and when its window starts, in Unix seconds."""
DUE_NOW: Final = "to_timestamp(0)"
"""Before every clock, so that none is compared here."""
ARE_DUE: Final = f"""
(kept.look_at IS DISTINCT FROM {DUE_NOW} AND (kept.tokens >= kept.look_from OR kept.looked_catalogue <
    coalesce((SELECT changed FROM billing_fence WHERE subject = 0), 1)))
"""
"""In SQL, of a counter `kept`: its tokens have come so far, or the catalogue was edited since."""
MARK = f"""
UPDATE usage_windowusage AS kept SET look_at = {DUE_NOW}
FROM unnest(%s::bigint[], %s::bigint[]) AS given (account_id, starts_at)
WHERE kept.account_id = given.account_id AND kept.starts_at = to_timestamp(given.starts_at)
"""
MARK_OPEN = f"UPDATE usage_windowusage SET look_at = {DUE_NOW} WHERE account_id = %s AND ends_at > %s"


def mark(windows: Iterable[Window]) -> None:
    """Have these looked at, once the present transaction is committed."""
    columns = [*zip(*windows, strict=True)]
    if columns:
        with connection.cursor() as cursor:
            cursor.execute(MARK, [list(column) for column in columns])


def mark_open(account: int, now: datetime) -> None:
    """Have the account's windows that have not ended looked at: what they are compared with may have changed."""
    with connection.cursor() as cursor:
        cursor.execute(MARK_OPEN, [account, now])
