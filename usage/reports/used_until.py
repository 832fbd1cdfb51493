"""What an account had used of a window before some instant: what of its top-ups was spent when they lapsed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from redis.exceptions import ResponseError

from billing.rules.periods import Period
from usage.drain import drain
from usage.log.events import RESET

PATIENCE_SECONDS = 1.0
"""For the drain: a call waits for it."""
# From the window's counter back to the instants: those that are asked for have mostly just passed. One statement, so
# that counter and rows are of one moment. A void has the instant of its charge.
USED = f"""
SELECT 0, tokens, false FROM usage_windowusage WHERE account_id = %(account)s AND starts_at = %(start)s
UNION ALL
SELECT width_bucket(charged_at, %(instants)s::timestamptz[]), sum(tokens)::bigint, bool_or(kind = '{RESET}')
    FROM usage_usagelog
    WHERE account_id = %(account)s AND window_starts_at = %(start)s
        AND charged_at >= %(first)s AND charged_at < %(end)s
    GROUP BY 1
"""


def used_until(account: int, window: Period, instants: Sequence[datetime]) -> tuple[dict[datetime, int], bool]:
    """Tokens that the account had used of the window before each of the instants, which are in order.

    What staff have given back with a reset since then counts as not used. And whether this has every call that was
    answered before: not while Redis is out of reach, the drain is behind, or a transaction is open.
    Raises django's OperationalError.
    """
    is_complete = _catch_up(account)
    values: dict[str, Any] = {"account": account, "start": window.start, "end": window.end}
    with connection.cursor() as cursor:
        cursor.execute(USED, values | {"instants": list(instants), "first": instants[0]})
        parts = {part: (tokens, has_reset) for part, tokens, has_reset in cursor.fetchall()}
    used, _ = parts.get(0, (0, False))
    was_reset, known = False, dict[datetime, int]()
    for part, instant in reversed([*enumerate(instants, 1)]):
        tokens, has_reset = parts.get(part, (0, False))
        used -= tokens
        was_reset = was_reset or has_reset
        known[instant] = 0 if was_reset else max(used, 0)
    return known, is_complete


def _catch_up(account: int) -> bool:
    if connection.in_atomic_block:  # what leaves Redis has to be committed, whatever becomes of the transaction
        return False
    try:
        return drain.catch_up(account, PATIENCE_SECONDS)
    except (drain.Behind, ResponseError):
        return False
