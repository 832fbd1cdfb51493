"""Puts drift right: PostgreSQL's sums from its log, then Redis from PostgreSQL and from its own stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from billing.fence import push
from billing.rules.instants import to_seconds
from billing.rules.periods import MONTH, period_start
from ratelimit import counters
from ratelimit.keys import AccountKeys, stream
from ratelimit.store import store
from usage.log.idempotency import key_records
from usage.log.sums import CALLS_OF_KIND, DAY_TOKENS_OF_KIND
from usage.models import WindowUsage
from usage.reconciliation import compare
from usage.reconciliation.compare import StreamBacklog
from usage.reconciliation.drift import Drift, Part
from usage.sync.publish import counter_of

MOST_LOOKS = 200
"""Tries at one window: each call of its account between a look and the correction costs one."""
Key = tuple[int, datetime]
"""Account and start of a window."""

# Each table by the order of its key, and the tables in the drain's order. Locked first, the sums are taken by a
# second statement: whoever has moved a row by then has committed its rows of the log, whoever has not adds to it later.
LOCK_WINDOWS = """
INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
    SELECT account_id, starts_at, ends_at, 0, 0
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS given (account_id, starts_at, ends_at)
    ORDER BY account_id, starts_at
ON CONFLICT (account_id, starts_at) DO UPDATE SET revision = kept.revision
"""
LOCK_FEATURES = """
INSERT INTO usage_featureusage AS kept (account_id, window_starts_at, feature, tokens)
    SELECT account_id, starts_at, feature, 0
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS given (account_id, starts_at, feature)
    ORDER BY account_id, starts_at, feature
ON CONFLICT (account_id, window_starts_at, feature) DO UPDATE SET tokens = kept.tokens
"""
LOCK_DAYS = """
INSERT INTO usage_dailyusage AS kept (account_id, date, feature, tokens, calls)
    SELECT account_id, date, feature, 0, 0
    FROM unnest(%s::bigint[], %s::date[], %s::text[]) AS given (account_id, date, feature)
    ORDER BY account_id, date, feature
ON CONFLICT (account_id, date, feature) DO UPDATE SET tokens = kept.tokens
"""
# Above every revision that Redis may know, or it would keep what it has.
SUM_WINDOWS = """
UPDATE usage_windowusage kept SET revision = GREATEST(kept.revision, given.known) + 1, tokens = (
    SELECT coalesce(sum(log.tokens), 0) FROM usage_usagelog log WHERE log.account_id = kept.account_id
        AND log.charged_at >= kept.starts_at AND log.window_starts_at = kept.starts_at
)
FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[]) AS given (account_id, starts_at, known)
WHERE kept.account_id = given.account_id AND kept.starts_at = given.starts_at
"""
SUM_FEATURES = """
UPDATE usage_featureusage kept SET tokens = (
    SELECT coalesce(sum(log.tokens), 0) FROM usage_usagelog log WHERE log.account_id = kept.account_id
        AND log.charged_at >= kept.window_starts_at AND log.window_starts_at = kept.window_starts_at
        AND log.feature = kept.feature
)
FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[]) AS given (account_id, starts_at, feature)
WHERE kept.account_id = given.account_id AND kept.window_starts_at = given.starts_at AND kept.feature = given.feature
"""
SUM_DAYS = f"""
UPDATE usage_dailyusage kept SET (tokens, calls) = (
    SELECT coalesce(sum({DAY_TOKENS_OF_KIND}), 0),
        coalesce(sum({CALLS_OF_KIND}), 0)
    FROM usage_usagelog log WHERE log.account_id = kept.account_id AND log.feature = kept.feature
        AND log.charged_at >= kept.date::timestamp AT TIME ZONE 'UTC'
        AND log.charged_at < (kept.date + 1)::timestamp AT TIME ZONE 'UTC'
)
FROM unnest(%s::bigint[], %s::date[], %s::text[]) AS given (account_id, date, feature)
WHERE kept.account_id = given.account_id AND kept.date = given.date AND kept.feature = given.feature
"""


def rebuild(drifts: Iterable[Drift], known: Mapping[Key, int], since: datetime) -> None:
    """The sums that drift, anew from the log; Redis and every worker learn the counters. `known`: Redis' revisions.

    All of it lies after `since`; raises LogShortened, and changes nothing, when the log does not any more. Safe beside
    drains and calls that are decided without Redis: their rows are waited for, as theirs wait for these.
    """
    found = list(drifts)
    windows = {
        (d.account, d.starts_at): None for d in found if d.part in (Part.COUNTER, Part.COMMITTED) and d.starts_at
    }
    features = [(d.account, d.starts_at, d.feature) for d in found if d.part is Part.FEATURE]
    days = [(d.account, d.on, d.feature) for d in found if d.part is Part.DAY]
    locked = [(account, starts_at, end_of(starts_at)) for account, starts_at in windows]
    summed = [(account, starts_at, known.get((account, starts_at), 0)) for account, starts_at in windows]
    accounts = {account for account, _ in windows}
    with transaction.atomic():
        for statement, rows in (
            (LOCK_WINDOWS, locked),
            (LOCK_FEATURES, features),
            (LOCK_DAYS, days),
            (SUM_WINDOWS, summed),
            (SUM_FEATURES, features),
            (SUM_DAYS, days),
        ):
            _execute(statement, rows)
        compare.ensure_whole(since)
        push.invalidate_counters(accounts)


def _execute(statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(statement, [list(column) for column in zip(*rows, strict=True)])


def end_of(starts_at: datetime) -> datetime:
    """Of a window of which nothing but the start is known: a month later, to the day at most three days too early."""
    return period_start(starts_at, MONTH, 1)


def correct_windows(shard: int, windows: Iterable[Key], now: datetime) -> list[Key]:
    """Make Redis' pending what its stream holds, and publish the counters. Only while the shard's drain is held off.

    Where Redis had an older counter it may lack records of keys as well, and gets them first. Returns the windows whose
    account has called faster than it could be done. Raises RedisUnreachable.
    """
    backlog = StreamBacklog(shard)
    return [key for key in windows if not _correct(shard, *key, backlog, now)]


def _correct(shard: int, account: int, starts_at: datetime, backlog: StreamBacklog, now: datetime) -> bool:
    row = WindowUsage.objects.filter(account_id=account, starts_at=starts_at).first() or WindowUsage(
        account_id=account, starts_at=starts_at, ends_at=end_of(starts_at), tokens=0, revision=0
    )
    keys, name = AccountKeys(account), stream(shard).encode()
    counter = counter_of(row, keys)
    for _ in range(MOST_LOOKS):
        last, (held,) = counters.read_quotas(store(), name, [counter.key])
        backlog.read_to(last)
        if (held.revision or 0) < row.revision:
            counters.restore(store(), keys, key_records.to_restore(account, now))
        waiting = backlog.pending[account, to_seconds(starts_at)]
        if counters.correct_pending(store(), name, counter, last, held, waiting):
            return True
    return False
