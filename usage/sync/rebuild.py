"""Rebuilds Redis from PostgreSQL: every fence, and the counter of every window that has not ended."""

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
from usage.log import idempotency
from usage.models import WindowUsage
from usage.sync.publish import counter_of, versions_of
from usage.sync.shard_locks import holding_off_drains

BATCH = 500
"""Counters published while the drains are held off: some 50 ms of work."""


def rebuild(now: datetime, progress: Callable[[int, int], None]) -> int:
    """Publish every counter by revision; returns how many. Safe while serving: nothing newer is ever replaced.

    `progress` is called with counters published and counters in all. Raises RedisUnreachable.
    """
    _publish_catalogue()
    shards = range(settings.RATELIMIT_SHARDS)
    present = WindowUsage.objects.filter(ends_at__gt=now).order_by("account_id", "starts_at")
    total, published, rest = present.count(), 0, Q()
    while True:
        with holding_off_drains(shards):
            rows = list(present.filter(rest)[:BATCH])
            _publish(rows, now)
        if not rows:
            return published
        published, last = published + len(rows), rows[-1]
        rest = Q(account_id__gt=last.account_id) | Q(account_id=last.account_id, starts_at__gt=last.starts_at)
        progress(published, max(total, published))


def _publish_catalogue() -> None:
    published = None
    # Once more when it has changed: Redis may have lost a push that came in between, as in `_publish`.
    while (version := fence_version(CATALOGUE)) != published:
        counters.raise_catalogue_fence(store(), version)
        published = version


def _publish(rows: list[WindowUsage], now: datetime) -> None:
    """As `publish_account` does, but records of keys only where Redis has missed something."""
    keys = {row.account_id: AccountKeys(row.account_id) for row in rows}
    given = [(keys[row.account_id], counter_of(row, keys[row.account_id])) for row in rows]
    lacking = idempotency.owners(_behind(given), now)
    published: dict[int, Versions] = {}
    while due := {account: known for account, known in versions_of(keys).items() if published.get(account) != known}:
        for of_account, counter in given:
            account = of_account.account
            if account in due:
                records = idempotency.to_restore(account, now) if account in lacking else []
                counters.publish(store(), of_account, due[account], [counter], records)
        published |= due


def _behind(given: list[tuple[AccountKeys, Counter]]) -> set[int]:
    """The accounts of which Redis knows a counter at an older revision than PostgreSQL; asked once a shard."""
    shards: dict[bytes, list[tuple[AccountKeys, Counter]]] = {}
    for keys, counter in given:
        shards.setdefault(keys.stream, []).append((keys, counter))
    behind = set()
    for stream, found in shards.items():
        _, held = counters.read_quotas(store(), stream, [counter.key for _, counter in found])
        behind |= {
            keys.account
            for (keys, counter), in_redis in zip(found, held, strict=True)
            if (in_redis.revision or 0) < counter.revision
        }
    return behind
