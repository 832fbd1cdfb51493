"""Carries the fence's versions from PostgreSQL, where they are raised, to Redis, where every call compares them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.db import connection
from django.db.models import F, QuerySet

from billing.fence.models import CATALOGUE, Fence
from billing.postgres.any_of import any_of
from ratelimit import counters
from ratelimit.keys import AccountKeys
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store

logger = logging.getLogger(__name__)
SWEEP_BATCH = 1000
PUSHED_AT_ONCE = 100
"""In one round trip, which has to end within the time that Redis has for an answer."""
# Only up to what was pushed: a change that came in between has a push of its own, which may hold the row now.
MARK_PUSHED = """
UPDATE billing_fence SET pushed = sent.version
FROM (
    SELECT fence.subject, given.version
    FROM unnest(%s::bigint[], %s::bigint[]) AS given (subject, version) JOIN billing_fence fence USING (subject)
    WHERE fence.pushed < given.version FOR UPDATE OF fence SKIP LOCKED
) AS sent
WHERE billing_fence.subject = sent.subject
"""


INVALIDATE_COUNTERS = """
INSERT INTO billing_fence AS fence (subject, version, pushed) SELECT subject, 2, 1 FROM unnest(%s::bigint[]) AS subject
ON CONFLICT (subject) DO UPDATE SET version = fence.version + 1
"""


def push(subjects: Iterable[int]) -> int:
    """Raise these subjects' fences in Redis; returns how many were raised. What fails waits for the sweep."""
    pushed: list[Fence] = []
    try:
        waiting = list(Fence.objects.filter(any_of("subject", subjects), version__gt=F("pushed")))
        for at in range(0, len(waiting), PUSHED_AT_ONCE):
            _push(batch := waiting[at : at + PUSHED_AT_ONCE])
            pushed += batch
    except RedisUnreachable as error:
        logger.warning("Redis is unreachable, fences wait for the sweep: %s", error)
    _mark_pushed(pushed)
    return len(pushed)


def push_all() -> int:
    """Raise every fence that waits for it; returns how many. Raises RedisUnreachable: then some still wait."""
    raised, last = 0, CATALOGUE - 1
    while batch := list(unpushed().filter(subject__gt=last)[:SWEEP_BATCH]):
        for at in range(0, len(batch), PUSHED_AT_ONCE):
            _push(batch[at : at + PUSHED_AT_ONCE])
        _mark_pushed(batch)
        raised, last = raised + len(batch), batch[-1].subject
    return raised


def invalidate_counters(accounts: Iterable[int]) -> None:
    """Raise these accounts' fences, in the present transaction: Redis has to be given their counters anew.

    Nothing is pushed now: this is for charges made while Redis is out of reach, and its recovery pushes them first.
    """
    with connection.cursor() as cursor:
        cursor.execute(INVALIDATE_COUNTERS, [sorted(set(accounts))])


def sweep() -> int:
    """Push what a process that died between commit and push has left behind."""
    return push(unpushed().values_list("subject", flat=True)[:SWEEP_BATCH])


def unpushed() -> QuerySet[Fence]:
    """What waits for the sweep, or for the push on commit that is on its way."""
    return Fence.objects.filter(version__gt=F("pushed")).order_by("subject")


def _mark_pushed(fences: Sequence[Fence]) -> None:
    if fences:
        with connection.cursor() as cursor:
            cursor.execute(MARK_PUSHED, [[fence.subject for fence in fences], [fence.version for fence in fences]])


def raise_above_redis(subject: int, version_in_redis: int) -> None:
    """Raise PostgreSQL's version above Redis', which is ahead after PostgreSQL was restored from a backup."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_fence AS fence (subject, version, changed, pushed) VALUES (%s, %s, %s, 1)"
            " ON CONFLICT (subject) DO UPDATE SET version = GREATEST(fence.version, EXCLUDED.version),"
            " changed = GREATEST(fence.changed, EXCLUDED.changed)",
            [subject, version_in_redis + 1, version_in_redis + 1],
        )
    logger.error("the fence of subject %s was behind Redis and has been raised to %s", subject, version_in_redis + 1)
    push([subject])


def _push(fences: Sequence[Fence]) -> None:
    for fence in fences:
        if fence.subject == CATALOGUE:
            counters.raise_catalogue_fence(store(), fence.version)
    of_accounts = [(AccountKeys(fence.subject), fence.version) for fence in fences if fence.subject != CATALOGUE]
    counters.announce_fences(store(), of_accounts)


def fence_version(subject: int) -> int:
    """A subject's version in PostgreSQL, 1 when it never changed.

    Read it before the facts it stands for: facts that are newer than their version are only reloaded once more.
    """
    return Fence.objects.filter(subject=subject).values_list("version", flat=True).first() or 1
