"""Rebuilds Redis from PostgreSQL: every fence, and the counter of every window that is not over."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.db.models import Q

from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from ratelimit import counters
from ratelimit.counters import Counter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Versions
from ratelimit.store import store
from usage.log.idempotency import key_records
from usage.models import WindowUsage
from usage.sync.publish import counter_of, still_judged, versions_of
from usage.sync.shard_locks import holding_off_drains

BATCH = 500
"""Counters published while the drains are held off, and the rest of the last account's: some 50 ms of work."""


def rebuild(now: datetime, progress: Callable[[int, int], None]) -> int:
    """Publish every counter by revision; returns how many. Safe while serving: nothing newer is ever replaced.

    `progress` is called with counters published and counters in all. Raises RedisUnreachable.
    """
    _publish_catalogue()
    shards = range(settings.RATELIMIT_SHARDS)
    present = WindowUsage.objects.filter(still_judged(now)).order_by("account_id", "starts_at")
    total, published, rest = present.count(), 0, Q()
    while True:
        with holding_off_drains(shards):
            rows = list(present.filter(rest)[:BATCH])
            if rows:
                rows += present.filter(account_id=rows[-1].account_id, starts_at__gt=rows[-1].starts_at)
            _publish(rows, now)
        if not rows:
            return published
        published, rest = published + len(rows), Q(account_id__gt=rows[-1].account_id)
        progress(published, max(total, published))


def _publish_catalogue() -> None:
    published = None
    # Once more when it has changed: Redis may have lost a push that came in between, as in `_publish`.
    while (version := fence_version(CATALOGUE)) != published:
        counters.raise_catalogue_fence(store(), version)
        published = version


def _publish(rows: list[WindowUsage], now: datetime) -> None:
    """As `publish_account` does, but records of keys only where Redis has missed something."""
    given: dict[int, list[Counter]] = {}
    for row in rows:
        given.setdefault(row.account_id, []).append(counter_of(row, AccountKeys(row.account_id)))
    lacking = key_records.owners(_behind(given), now)
    published: dict[int, Versions] = {}
    while due := {account: known for account, known in versions_of(given).items() if published.get(account) != known}:
        for account, versions in due.items():
            records = key_records.to_restore(account, now) if account in lacking else []
            counters.publish(store(), AccountKeys(account), versions, given[account], records)
        published |= due


def _behind(given: dict[int, list[Counter]]) -> set[int]:
    """The accounts of which Redis knows a counter at an older revision than PostgreSQL; asked once a shard."""
    shards: dict[bytes, list[tuple[AccountKeys, Counter]]] = {}
    for account, of_account in given.items():
        keys = AccountKeys(account)
        shards.setdefault(keys.stream, []).extend((keys, counter) for counter in of_account)
    behind = set()
    for stream, found in shards.items():
        _, held = counters.read_quotas(store(), stream, [counter.key for _, counter in found])
        behind |= {
            keys.account
            for (keys, counter), in_redis in zip(found, held, strict=True)
            if (in_redis.revision or 0) < counter.revision
        }
    return behind
