"""Tokens used in usage windows, for who bills them: many at once."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from django.db import connection
from redis.exceptions import RedisError

from ratelimit.keys import shard_of
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain

logger = logging.getLogger(__name__)
Asked = tuple[int, datetime, datetime | None]
"""An account, when its window starts, and up to when calls count; None: all of the window."""

# A void has its charge's time, so it is counted where its charge is.
LOGGED = """
SELECT asked.place, sum(log.tokens)
FROM unnest(%s::int[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])
    AS asked (place, account_id, starts_at, until)
JOIN usage_usagelog AS log ON log.account_id = asked.account_id AND log.window_starts_at = asked.starts_at
    AND log.charged_at >= asked.starts_at AND log.charged_at < asked.until
GROUP BY asked.place
"""
COUNTED = """
SELECT asked.place, kept.tokens
FROM unnest(%s::int[], %s::bigint[], %s::timestamptz[]) AS asked (place, account_id, starts_at)
JOIN usage_windowusage AS kept USING (account_id, starts_at)
"""


def used_tokens(asked: Collection[Asked]) -> dict[Asked, int]:
    """Of each window, as far as PostgreSQL knows; those of which nothing is known are left out. A query for all."""
    whole = [window for window in asked if window[2] is None]
    parts = [window for window in asked if window[2] is not None]
    return _sums(COUNTED, whole, 2) | _sums(LOGGED, parts, 3)


def _sums(statement: str, asked: list[Asked], columns: int) -> dict[Asked, int]:
    if not asked:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(range(len(asked))), *map(list, [*zip(*asked, strict=True)][:columns])])
        return {asked[place]: int(tokens) for place, tokens in cursor.fetchall()}


def catch_up(accounts: Collection[int]) -> None:
    """Bring PostgreSQL up to what these accounts have used, as far as Redis can be asked now.

    What cannot be had is no error: who bills compares again later. Never within a transaction.
    """
    try:
        drain.drain({shard_of(account) for account in accounts})
    except (RedisUnreachable, RedisError) as error:
        logger.warning("what Redis holds is not billed yet: %s", error)
