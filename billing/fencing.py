"""Carries the fence's versions from PostgreSQL, where they are raised, to Redis, where every call compares them."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from billing.models.fences import CATALOGUE, Fence
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


def push(subjects: Iterable[int]) -> int:
    """Tell Redis the present versions of these subjects; returns how many were told. What fails waits for the sweep."""
    told = []
    for fence in Fence.objects.filter(subject__in=list(subjects), version__gt=F("pushed")):
        try:
            _raise_in_redis(store(), fence)
        except RedisUnreachable:
            logger.warning("Redis is unreachable: the fence of %s waits for the sweep", fence)
            break
        told.append(fence)
    if told:
        with connection.cursor() as cursor:
            cursor.execute(MARK_PUSHED, [[fence.subject for fence in told], [fence.version for fence in told]])
    return len(told)


def bump(subjects: Iterable[int]) -> None:
    """Make these subjects' facts stale everywhere, as part of the present transaction; told to Redis on commit."""
    ordered = sorted(set(subjects))
    with connection.cursor() as cursor:
        cursor.execute("SELECT billing_raise_fence(subject) FROM unnest(%s::bigint[]) AS subject", [ordered])
    transaction.on_commit(lambda: push(ordered), robust=True)


def sweep() -> int:
    """Push what a process that died between commit and push has left behind."""
    waiting = Fence.objects.filter(version__gt=F("pushed")).order_by("subject")
    return push(waiting.values_list("subject", flat=True)[:SWEEP_BATCH])


def lift(subject: int, version_in_redis: int) -> None:
    """Raise PostgreSQL's version above Redis', which is ahead after PostgreSQL was restored from a backup."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_fence (subject, version, pushed) VALUES (%s, %s, 1)"
            " ON CONFLICT (subject) DO UPDATE SET version = GREATEST(billing_fence.version, EXCLUDED.version)",
            [subject, version_in_redis + 1],
        )
    logger.error("the fence of subject %s was behind Redis and has been lifted to %s", subject, version_in_redis + 1)
    push([subject])


def _raise_in_redis(target: Store, fence: Fence) -> None:
    if fence.subject == CATALOGUE:
        for shard in range(settings.RATELIMIT_SHARDS):
            target.run(scripts.RAISE, [catalogue_fence(shard).encode()], [fence.version])
    else:
        target.run(scripts.RAISE, [AccountKeys(fence.subject).fence], [fence.version])
