"""Rebuilds Redis from PostgreSQL: every fence, and the counter of every window that has not ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from django.conf import settings
from django.db.models import Q

from billing.models import Fence
from billing.models.fences import CATALOGUE
from billing.snapshots import fence_version
from ratelimit import limiter, scripts
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.limiter import Counter
from ratelimit.store import store
from usage import receipts
from usage.models import WindowUsage
from usage.shard_locks import telling
from usage.telling import counter

BATCH = 500
"""Counters told while the drains are held off: some 50 ms of work."""


def rebuild(now: datetime, progress: Callable[[int, int], None]) -> int:
    """Tell Redis every counter by revision; returns how many. Safe while serving: nothing newer is ever replaced.

    `progress` is called with counters told and counters in all.
    """
    catalogue, shards = fence_version(CATALOGUE), range(settings.RATELIMIT_SHARDS)
    for shard in shards:
        store().run(scripts.RAISE, [catalogue_fence(shard).encode()], [catalogue])
    present = WindowUsage.objects.filter(ends_at__gt=now).order_by("account_id", "starts_at")
    total, told, rest = present.count(), 0, Q()
    while True:
        with telling(shards):
            rows = list(present.filter(rest)[:BATCH])
            _tell(rows, catalogue, now)
        if not rows:
            return told
        told, last = told + len(rows), rows[-1]
        rest = Q(account_id__gt=last.account_id) | Q(account_id=last.account_id, starts_at__gt=last.starts_at)
        progress(told, max(total, told))


def _tell(rows: list[WindowUsage], catalogue: int, now: datetime) -> None:
    accounts = {row.account_id for row in rows}
    known = dict(Fence.objects.filter(subject__in=accounts).values_list("subject", "version"))
    keys = {account: AccountKeys(account) for account in accounts}
    counters = [(keys[row.account_id], counter(row, keys[row.account_id])) for row in rows]
    lacking = set(receipts.owners(_behind(counters), now))
    for of_account, each in counters:
        versions = limiter.Versions(str(known.get(of_account.account, 1)).encode(), str(catalogue).encode())
        tell = partial(limiter.tell, store(), of_account, versions, [each])
        # As `telling.tell_account` does, but only where Redis has missed something.
        if of_account.account in lacking:
            receipts.recall(of_account.account, now, tell)
        else:
            tell()


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
