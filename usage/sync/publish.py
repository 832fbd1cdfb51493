"""Tells Redis what PostgreSQL knows of an account: its versions, its counters, and the receipts that Redis has lost."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from django.utils import timezone

from billing.fence.models import CATALOGUE
from billing.models import Fence
from billing.rules.instants import to_ms
from billing.rules.periods import Period
from ratelimit import limiter
from ratelimit.keys import AccountKeys, shard_of
from ratelimit.limiter import Versions
from ratelimit.store import store
from usage.log import idempotency
from usage.models import WindowUsage
from usage.sync.shard_locks import holding_off_drains


def publish_account(keys: AccountKeys, known: Versions, window: Period) -> None:
    """Tell the newest versions, or those this process knows if they are newer, and the counter of the present window.

    A push that a lost server took with it is made good here, or older facts would look fresh: also one that was pushed
    and lost after the versions had been read, so they are read once more. Receipts go along.
    """
    with holding_off_drains([shard_of(keys.account)]):
        told, versions = None, _newest(keys, known)
        while versions != told:
            rows = WindowUsage.objects.filter(account_id=keys.account, starts_at=window.start)
            counters = [counter(row, keys) for row in rows]
            tell = partial(limiter.tell, store(), keys, versions, counters)
            idempotency.recall(keys.account, timezone.now(), tell)
            told, versions = versions, _newest(keys, known)


def _newest(keys: AccountKeys, known: Versions) -> Versions:
    held = versions_of([keys.account])[keys.account]
    return Versions(*(max(pair, key=int) for pair in zip(held, known, strict=True)))


def versions_of(accounts: Collection[int]) -> dict[int, Versions]:
    """As PostgreSQL knows them at this moment."""
    held = dict(Fence.objects.filter(subject__in=[*accounts, CATALOGUE]).values_list("subject", "version"))
    catalogue = str(held.get(CATALOGUE, 1)).encode()
    return {account: Versions(str(held.get(account, 1)).encode(), catalogue) for account in accounts}


def counter(row: WindowUsage, keys: AccountKeys) -> limiter.Counter:
    """PostgreSQL's counter as Redis is told it."""
    starts_at_ms, ends_at_ms = (to_ms(at) for at in (row.starts_at, row.ends_at))
    return limiter.Counter(keys.quota(starts_at_ms), row.tokens, row.revision, ends_at_ms)
