"""What the four places say, account by account: PostgreSQL in one snapshot, Redis and its stream at one instant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, cast

from django.conf import settings
from django.db import connection

from billing.rules.instants import from_seconds, to_seconds
from ratelimit import counters
from ratelimit.counters import Pending
from ratelimit.keys import AccountKeys, shard_of, shard_tag, stream
from ratelimit.limits import RedisQuota
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS
from ratelimit.store import client, reaching_redis, store
from usage.log.batch import decode
from usage.log.events import MalformedEvent
from usage.log.months import partitions
from usage.log.sums import CALLS_OF_KIND, DAY_TOKENS_OF_KIND
from usage.reconciliation import drift
from usage.reconciliation.drift import Drift, WindowComparison

AT_ONCE = 200
"""Accounts compared while the drain of their shard is held off."""
PAGE = 2_000
LONGEST_WINDOW = timedelta(days=31)

CANDIDATES = """
CREATE TEMPORARY TABLE IF NOT EXISTS usage_reconciling (shard int, account_id bigint, starts_at timestamptz);
TRUNCATE usage_reconciling;
INSERT INTO usage_reconciling SELECT account_id %% %(shards)s, account_id, starts_at FROM (
    SELECT account_id, starts_at FROM usage_windowusage WHERE starts_at >= %(since)s
    UNION SELECT account_id, window_starts_at FROM usage_featureusage WHERE window_starts_at >= %(since)s
    UNION SELECT account_id, NULL FROM usage_dailyusage WHERE date >= %(date)s
    UNION SELECT account_id, NULL FROM usage_usagelog WHERE charged_at >= %(since)s
) AS found WHERE %(account)s IS NULL OR account_id = %(account)s
"""
QUOTA_KEY = re.compile(rb"\{s\d+\}:q:(\d{1,18}):(\d{1,11})")
KNOWN_TO_REDIS = "COPY usage_reconciling (shard, account_id, starts_at) FROM STDIN"
INDEX = "CREATE INDEX IF NOT EXISTS usage_reconciling_order ON usage_reconciling (shard, account_id)"
BATCH = """
SELECT account_id, array_remove(array_agg(DISTINCT starts_at), NULL) FROM usage_reconciling
WHERE shard = %s AND account_id > %s GROUP BY account_id ORDER BY account_id LIMIT %s
"""

# One statement, so one snapshot: a charge is in the log and in every sum, or in none. Windows come all of them,
# features and days where they differ.
SUMS = f"""
WITH log AS MATERIALIZED (
    SELECT account_id, window_starts_at AS starts_at, (charged_at AT TIME ZONE 'UTC')::date AS date, feature,
        sum(tokens)::bigint AS tokens,
        sum({DAY_TOKENS_OF_KIND})::bigint AS day_tokens,
        sum({CALLS_OF_KIND})::bigint AS calls
    FROM usage_usagelog WHERE account_id = ANY(%(accounts)s) AND charged_at >= %(since)s GROUP BY 1, 2, 3, 4
), kept AS (
    SELECT account_id, window_starts_at AS starts_at, feature, tokens FROM usage_featureusage
    WHERE account_id = ANY(%(accounts)s) AND window_starts_at >= %(since)s
), counter AS (
    SELECT account_id, starts_at, ends_at, tokens, revision FROM usage_windowusage
    WHERE account_id = ANY(%(accounts)s) AND starts_at >= %(since)s
), daily AS (
    SELECT account_id, date, feature, tokens, calls FROM usage_dailyusage
    WHERE account_id = ANY(%(accounts)s) AND date >= %(date)s
)
SELECT 'window', account_id, starts_at, ends_at, NULL::date, '',
    coalesce(l.tokens, 0), 0, coalesce(counter.tokens, 0), 0, coalesce(revision, 0), coalesce(f.tokens, 0)
FROM (SELECT account_id, starts_at, sum(tokens)::bigint AS tokens FROM log WHERE starts_at >= %(since)s GROUP BY 1, 2) l
FULL JOIN counter USING (account_id, starts_at)
FULL JOIN (SELECT account_id, starts_at, sum(tokens)::bigint AS tokens FROM kept GROUP BY 1, 2) f
    USING (account_id, starts_at)
UNION ALL
SELECT 'feature', account_id, starts_at, NULL, NULL, feature,
    coalesce(l.tokens, 0), 0, coalesce(kept.tokens, 0), 0, 0, 0
FROM (
    SELECT account_id, starts_at, feature, sum(tokens)::bigint AS tokens FROM log WHERE starts_at >= %(since)s
    GROUP BY 1, 2, 3
) l FULL JOIN kept USING (account_id, starts_at, feature)
WHERE coalesce(l.tokens, 0) <> coalesce(kept.tokens, 0)
UNION ALL
SELECT 'day', account_id, NULL, NULL, date, feature,
    coalesce(l.tokens, 0), coalesce(l.calls, 0), coalesce(daily.tokens, 0), coalesce(daily.calls, 0), 0, 0
FROM (
    SELECT account_id, date, feature, sum(day_tokens)::bigint AS tokens, sum(calls)::bigint AS calls FROM log
    GROUP BY 1, 2, 3
) l FULL JOIN daily USING (account_id, date, feature)
WHERE (coalesce(l.tokens, 0), coalesce(l.calls, 0)) <> (coalesce(daily.tokens, 0), coalesce(daily.calls, 0))
ORDER BY 2, 3, 5, 6
"""


class LogShortened(Exception):
    """A month has left the log while it was compared: what is missing from it is no drift."""


class StreamBacklog:
    """What waits in a shard's stream, by account and window. Only while the shard's drain is held off."""

    def __init__(self, shard: int) -> None:
        self.pending: defaultdict[tuple[int, int], Pending] = defaultdict(Pending)
        self._stream = stream(shard)
        self._after = b""

    def read_to(self, last: bytes) -> None:
        """Add what stands in the stream up to this entry and was not read before."""
        while last and last != self._after:
            with reaching_redis():
                first = b"(" + self._after if self._after else "-"
                page = cast(list[Any], client().xrange(self._stream, first, last, count=PAGE))
            if not page:
                return
            for stream_id, fields in page:
                self._after = stream_id
                try:
                    event = decode(fields.get(b"e", b""))
                except MalformedEvent:
                    continue
                window = event.account, event.window_start
                self.pending[window] = self.pending[window].plus(event.tokens)


def collect(since: datetime, account: int | None = None) -> int:
    """Note every account that any place knows, with the windows that Redis is to be asked for; returns how many."""
    shards = settings.RATELIMIT_SHARDS
    given = {"since": since, "date": since.date(), "account": account, "shards": shards}
    with connection.cursor() as cursor:
        cursor.execute(CANDIDATES, given)
        known = _known_to_redis(account)
        while some := list(islice(known, PAGE)):
            with cursor.copy(KNOWN_TO_REDIS) as copy:
                for number, window in some:
                    if window >= since.timestamp():
                        copy.write_row((number % shards, number, from_seconds(window)))
        cursor.execute(INDEX)
        cursor.execute("ANALYZE usage_reconciling")
        cursor.execute("SELECT count(DISTINCT account_id) FROM usage_reconciling")
        return int(cast(tuple[int], cursor.fetchone())[0])


def _known_to_redis(account: int | None) -> Iterator[tuple[int, int]]:
    """Accounts and windows (Unix seconds) of Redis' quotas and of its streams."""
    yield from quotas_in_redis("{s*}" if account is None else shard_tag(shard_of(account)), account)
    for shard in range(settings.RATELIMIT_SHARDS) if account is None else [shard_of(account)]:
        last, _ = counters.read_quotas(store(), stream(shard).encode(), [])
        backlog = StreamBacklog(shard)
        backlog.read_to(last)
        yield from (each for each in backlog.pending if account in (None, each[0]))


def quotas_in_redis(tag: str, account: int | None = None) -> Iterator[tuple[int, int]]:
    """Accounts and windows (Unix seconds) that Redis has a quota of, by the tag of their shard."""
    pattern = f"{tag}:q:*" if account is None else f"{tag}:q:{account}:*"
    with reaching_redis():
        for key in client().scan_iter(match=pattern, count=1_000):
            if match := QUOTA_KEY.fullmatch(key):
                yield int(match[1]), int(match[2])


def forget_collected() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS usage_reconciling")


def batches(shard: int) -> Iterator[dict[int, list[datetime]]]:
    """The shard's accounts, some at a time, with the windows known when they were collected."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(BATCH, [shard, last, AT_ONCE])
            found = dict(cursor.fetchall())
        if not found:
            return
        yield found
        last = max(found)


def read(
    shard: int, accounts: Mapping[int, list[datetime]], since: datetime, now: datetime
) -> tuple[list[WindowComparison], list[Drift]]:
    """These accounts' windows, and the features and days that differ. Only while the shard's drain is held off.

    Raises LogShortened.
    """
    in_redis = _read_redis(shard, accounts)
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"accounts": list(accounts), "since": since, "date": since.date()})
        rows = cursor.fetchall()
    ensure_whole(since)
    windows, drifts = [], []
    for part, account, starts_at, ends_at, on, feature, log, log_calls, total, calls, revision, features in rows:
        if part == "feature":
            drifts.append(drift.of_feature(account, starts_at, feature, log, total))
        elif part == "day":
            drifts.append(drift.of_day(account, on, feature, (log, log_calls), (total, calls)))
        else:
            held, waiting = in_redis.pop((account, starts_at), (None, 0))
            if gone_from_redis(ends_at or starts_at + LONGEST_WINDOW, now):
                held = None
            windows.append(WindowComparison(account, starts_at, log, total, revision, features, held, waiting))
    for (account, starts_at), (held, waiting) in in_redis.items():
        if not gone_from_redis(starts_at + LONGEST_WINDOW, now):
            windows.append(WindowComparison(account, starts_at, 0, 0, 0, 0, held, waiting))
    return windows, drifts


def ensure_whole(since: datetime) -> None:
    """Raises LogShortened unless what was just read of the log, from this instant on, was all there ever was.

    A month is closed before its rows leave, so whoever has read without them sees it closed afterwards.
    """
    if partitions.oldest_kept() > since:
        raise LogShortened("a month has left the usage log meanwhile; run it again")


def gone_from_redis(ends_at: datetime, now: datetime) -> bool:
    """Whether Redis may have forgotten a window that ended then."""
    return ends_at + timedelta(milliseconds=KEPT_AFTER_WINDOW_MS) <= now


def _read_redis(
    shard: int, accounts: Mapping[int, list[datetime]]
) -> dict[tuple[int, datetime], tuple[RedisQuota, int]]:
    """What Redis holds of each window, and the tokens of it that wait in the stream."""
    windows = [(account, starts_at) for account, found in accounts.items() for starts_at in found]
    keys = [AccountKeys(account).quota(to_seconds(starts_at) * 1000) for account, starts_at in windows]
    last, quotas = counters.read_quotas(store(), stream(shard).encode(), keys)
    backlog = StreamBacklog(shard)
    backlog.read_to(last)
    return {
        (account, starts_at): (quota, backlog.pending[account, to_seconds(starts_at)].tokens)
        for (account, starts_at), quota in zip(windows, quotas, strict=True)
    }
