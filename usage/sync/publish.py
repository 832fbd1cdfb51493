"""Publishes to Redis what PostgreSQL knows of an account: its fences, its counters, and its Idempotency-Keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Q

from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing.postgres.planned import planned_cursor
from billing.rules.instants import EPOCH, to_ms
from billing.rules.periods import Period
from ratelimit import counters
from ratelimit.counters import Counter
from ratelimit.keys import AccountKeys, shard_of
from ratelimit.limiter import Versions
from ratelimit.scripts import ARRIVED_AFTER
from ratelimit.store import store
from usage.log.idempotency import key_records
from usage.models import IdempotencyRecord, WindowUsage
from usage.sync.shard_locks import holding_off_drains

KNOWN = f"""
SELECT coalesce((SELECT revision FROM {WindowUsage._meta.db_table} WHERE account_id = %s AND starts_at = %s), 0),
    EXISTS (SELECT FROM {WindowUsage._meta.db_table} WHERE account_id = %s AND starts_at > %s AND starts_at <> %s)
    OR %s AND EXISTS (SELECT FROM {IdempotencyRecord._meta.db_table} WHERE account_id = %s AND expires_at > %s)
"""


def known_revision(account: int, window: Period, now: datetime) -> int | None:
    """The revision of PostgreSQL's counter of a window, by which Redis can be asked whether it knows the account.

    None where that counter does not tell all: of a later window that was charged already, as by a process whose clock
    is ahead, of one that has ended just now, or of Idempotency-Keys that a charge of another window may have opened.
    Raises django's OperationalError.
    """
    others_after = EPOCH if now < window.start + ARRIVED_AFTER else window.start
    is_young = now < window.start + 2 * key_records.RECORD_LIFE
    with planned_cursor() as cursor:
        cursor.execute(KNOWN, [account, window.start, account, others_after, window.start, is_young, account, now])
        revision, has_others = cursor.fetchone()
    return None if has_others else revision


def publish_account(keys: AccountKeys, known: Versions, window: Period, now: datetime) -> None:
    """Publish the newest versions, or those this process knows if they are newer, and the counters of the window on.

    Of a later window too: the process will judge by it without publishing again, and it may have been charged already.
    So will another thread of it by a window that has ended just now, in which its call was made.
    A push that a lost server took with it is made good, or older facts would look fresh: also one that was pushed and
    lost after the versions had been read, so they are read once more. Records of Idempotency-Keys go along.
    Raises RedisUnreachable, or django's OperationalError.
    """
    with holding_off_drains([shard_of(keys.account)]):
        published, versions = None, _newest(keys, known)
        while versions != published:
            rows = WindowUsage.objects.filter(account_id=keys.account)
            rows = rows.filter(Q(starts_at__gte=window.start) | still_judged(now))
            records = key_records.to_restore(keys.account, now)
            counters.publish(store(), keys, versions, [counter_of(row, keys) for row in rows], records)
            published, versions = versions, _newest(keys, known)


def still_judged(now: datetime) -> Q:
    """Of counters: those by which calls may be judged from now on."""
    return Q(ends_at__gt=now - ARRIVED_AFTER)


def _newest(keys: AccountKeys, known: Versions) -> Versions:
    held = versions_of([keys.account])[keys.account]
    return Versions(*(max(pair, key=int) for pair in zip(held, known, strict=True)))


def versions_of(accounts: Collection[int]) -> dict[int, Versions]:
    """As PostgreSQL knows them at this moment."""
    held = dict(Fence.objects.filter(subject__in=[*accounts, CATALOGUE]).values_list("subject", "version"))
    catalogue = str(held.get(CATALOGUE, 1)).encode()
    return {account: Versions(str(held.get(account, 1)).encode(), catalogue) for account in accounts}


def counter_of(row: WindowUsage, keys: AccountKeys) -> Counter:
    """PostgreSQL's counter of a window as Redis is given it."""
    return Counter(keys.quota(to_ms(row.starts_at)), row.tokens, row.revision, to_ms(row.ends_at))
