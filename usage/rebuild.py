"""Rebuilds Redis from PostgreSQL: every fence, and the counter of every window that has not ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from django.conf import settings

from billing.models import Fence
from billing.models.fences import CATALOGUE
from billing.snapshots import fence_version
from ratelimit import limiter, scripts
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.store import store
from usage.models import WindowUsage

BATCH = 1_000


def rebuild(now: datetime, progress: Callable[[int, int], None]) -> int:
    """Tell Redis every counter by revision; returns how many. Safe while serving: nothing newer is ever replaced.

    `progress` is called with counters told and counters in all.
    """
    catalogue = fence_version(CATALOGUE)
    for shard in range(settings.RATELIMIT_SHARDS):
        store().run(scripts.RAISE, [catalogue_fence(shard).encode()], [catalogue])
    present = WindowUsage.objects.filter(ends_at__gt=now)
    total, told = present.count(), 0
    for rows in _batches(present.order_by("account_id", "starts_at").iterator(BATCH)):
        accounts = {row.account_id for row in rows}
        versions = dict(Fence.objects.filter(subject__in=accounts).values_list("subject", "version"))
        for row in rows:
            _tell(row, versions.get(row.account_id, 1), catalogue)
        told += len(rows)
        progress(told, max(total, told))
    return told


def _tell(row: WindowUsage, version: int, catalogue: int) -> None:
    keys = AccountKeys(row.account_id)
    starts_at_ms, ends_at_ms = (round(at.timestamp() * 1000) for at in (row.starts_at, row.ends_at))
    counter = limiter.Counter(keys.quota(starts_at_ms), row.tokens, row.revision, ends_at_ms)
    versions = limiter.Versions(str(version).encode(), str(catalogue).encode())
    limiter.tell(store(), keys, versions, [counter])


def _batches(rows: Iterator[WindowUsage]) -> Iterator[list[WindowUsage]]:
    batch: list[WindowUsage] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
