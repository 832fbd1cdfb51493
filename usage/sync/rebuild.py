"""Rebuilds Redis from PostgreSQL: every fence, and the counter of every window that has not ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db.models import Q

from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from ratelimit import limiter, scripts
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.limiter import Counter
from ratelimit.store import store
from usage.log import idempotency
from usage.models import WindowUsage
from usage.sync.publish import counter, versions_of
from usage.sync.shard_locks import holding_off_drains

BATCH = 500
"""Counters told while the drains are held off: some 50 ms of work."""


def rebuild(now: datetime, progress: Callable[[int, int], None]) -> int:
    """Tell Redis every counter by revision; returns how many. Safe while serving: nothing newer is ever replaced.

    `progress` is called with counters told and counters in all.
    """
    _tell_catalogue()
    shards = range(settings.RATELIMIT_SHARDS)
    present = WindowUsage.objects.filter(ends_at__gt=now).order_by("account_id", "starts_at")
    total, told, rest = present.count(), 0, Q()
    while True:
        with holding_off_drains(shards):
            rows = list(present.filter(rest)[:BATCH])
            _tell(rows, now)
        if not rows:
            return told
        told, last = told + len(rows), rows[-1]
        rest = Q(account_id__gt=last.account_id) | Q(account_id=last.account_id, starts_at__gt=last.starts_at)
        progress(told, max(total, told))


def _tell_catalogue() -> None:
    told = None
    # Once more when it has changed: Redis may have lost a push that came in between, as in `_tell`.
    while (version := fence_version(CATALOGUE)) != told:
        for shard in range(settings.RATELIMIT_SHARDS):
            store().run(scripts.RAISE, [catalogue_fence(shard).encode()], [version])
        told = version


def _tell(rows: list[WindowUsage], now: datetime) -> None:
    """As `telling.publish_account` does, but receipts only where Redis has missed something."""
    keys = {row.account_id: AccountKeys(row.account_id) for row in rows}
    counters = [(keys[row.account_id], counter(row, keys[row.account_id])) for row in rows]
    lacking = set(idempotency.owners(_behind(counters), now))
    told: dict[int, limiter.Versions] = {}
    while due := {account: known for account, known in versions_of(keys).items() if told.get(account) != known}:
        for of_account, each in counters:
            if of_account.account not in due:
                continue
            tell = partial(limiter.tell, store(), of_account, due[of_account.account], [each])
            if of_account.account in lacking:
                idempotency.recall(of_account.account, now, tell)
            else:
                tell()
        told |= due


def _behind(counters: list[tuple[AccountKeys, Counter]]) -> set[int]:
    """The accounts of which Redis knows a counter at an older revision than PostgreSQL; asked once a shard."""
    shards: dict[bytes, list[tuple[AccountKeys, Counter]]] = {}
    for keys, each in counters:
        shards.setdefault(keys.stream, []).append((keys, each))
    behind = set()
    for stream, found in shards.items():
        _, held = limiter.look(store(), stream, [each.key for _, each in found])
        behind |= {
            keys.account
            for (keys, each), in_redis in zip(found, held, strict=True)
            if (in_redis.revision or 0) < each.revision
        }
    return behind
