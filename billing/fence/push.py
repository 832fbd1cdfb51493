"""Carries the fence's versions from PostgreSQL, where they are raised, to Redis, where every call compares them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import connection
from django.db.models import F, QuerySet

from billing.fence.models import CATALOGUE, Fence
from ratelimit import scripts
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.store import RedisUnreachable, Store, store

logger = logging.getLogger(__name__)
SWEEP_BATCH = 1000
# Only up to what was told: a change that came in between is told by its own push, which may hold the row now.
MARK_PUSHED = """
UPDATE billing_fence SET pushed = told.version
FROM (
    SELECT fence.subject, given.version
    FROM unnest(%s::bigint[], %s::bigint[]) AS given (subject, version) JOIN billing_fence fence USING (subject)
    WHERE fence.pushed < given.version FOR UPDATE OF fence SKIP LOCKED
) AS told
WHERE billing_fence.subject = told.subject
"""


RAISE_FOR_COUNTERS = """
INSERT INTO billing_fence AS fence (subject, version, pushed) SELECT subject, 2, 1 FROM unnest(%s::bigint[]) AS subject
ON CONFLICT (subject) DO UPDATE SET version = fence.version + 1
"""


def push(subjects: Iterable[int]) -> int:
    """Tell Redis the present versions of these subjects; returns how many were told. What fails waits for the sweep."""
    told: list[Fence] = []
    try:
        for fence in Fence.objects.filter(subject__in=list(subjects), version__gt=F("pushed")):
            _raise_in_redis(store(), fence)
            told.append(fence)
    except RedisUnreachable as error:
        logger.warning("Redis is unreachable, fences wait for the sweep: %s", error)
    _mark_pushed(told)
    return len(told)


def push_all() -> int:
    """Tell Redis every version that waits; returns how many. Raises RedisUnreachable: then some wait still."""
    told, last = 0, CATALOGUE - 1
    while batch := list(_unpushed().filter(subject__gt=last)[:SWEEP_BATCH]):
        for fence in batch:
            _raise_in_redis(store(), fence)
        _mark_pushed(batch)
        told, last = told + len(batch), batch[-1].subject
    return told


def invalidate_counters(accounts: Iterable[int]) -> None:
    """Make Redis, and every worker with it, learn these accounts' counters, as part of the present transaction.

    Nothing is pushed now: this is for charges made while Redis is out of reach, and its recovery pushes them first.
    """
    with connection.cursor() as cursor:
        cursor.execute(RAISE_FOR_COUNTERS, [sorted(set(accounts))])


def sweep() -> int:
    """Push what a process that died between commit and push has left behind."""
    return push(_unpushed().values_list("subject", flat=True)[:SWEEP_BATCH])


def _unpushed() -> QuerySet[Fence]:
    return Fence.objects.filter(version__gt=F("pushed")).order_by("subject")


def _mark_pushed(told: Sequence[Fence]) -> None:
    if told:
        with connection.cursor() as cursor:
            cursor.execute(MARK_PUSHED, [[fence.subject for fence in told], [fence.version for fence in told]])


def raise_above_redis(subject: int, version_in_redis: int) -> None:
    """Raise PostgreSQL's version above Redis', which is ahead after PostgreSQL was restored from a backup."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_fence AS fence (subject, version, changed, pushed) VALUES (%s, %s, %s, 1)"
            " ON CONFLICT (subject) DO UPDATE SET version = GREATEST(fence.version, EXCLUDED.version),"
            " changed = GREATEST(fence.changed, EXCLUDED.changed)",
            [subject, version_in_redis + 1, version_in_redis + 1],
        )
    logger.error("the fence of subject %s was behind Redis and has been lifted to %s", subject, version_in_redis + 1)
    push([subject])


def _raise_in_redis(target: Store, fence: Fence) -> None:
    if fence.subject == CATALOGUE:
        for shard in range(settings.RATELIMIT_SHARDS):
            target.run(scripts.RAISE, [catalogue_fence(shard).encode()], [fence.version])
    else:
        target.run(scripts.ANNOUNCE, [AccountKeys(fence.subject).fence], [fence.version])


def fence_version(subject: int) -> int:
    """Read before the facts it stands for: facts newer than their version are only reloaded once more."""
    return Fence.objects.filter(subject=subject).values_list("version", flat=True).first() or 1
