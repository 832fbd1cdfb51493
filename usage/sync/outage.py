"""An outage of Redis as all processes see it: it begins with the first call decided without Redis, and ends once.

Redis must not judge again before it knows, by a raised fence, every account that was charged without it. So whoever
ends an outage first pushes every waiting fence, alone: an advisory lock that each call decided without Redis shares
keeps such calls out for that moment, and those that come after it find the outage over and ask Redis again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from billing.postgres.any_row import AnyRow
from ratelimit import counters, process_state
from ratelimit.breaker import Breaker
from ratelimit.servers.single import NotExecuted, RedisUnreachable
from ratelimit.store import store
from usage.models import RedisOutage

T = TypeVar("T")
LOCK = 0x0D7A2
"""Of PostgreSQL's advisory locks."""


_one_goes_on: Final = AnyRow(lambda now: [RedisOutage.objects.filter(ended_at=None)])
ABANDONED_AFTER = timedelta(seconds=5)
"""Longer than any process in an outage takes from one probe to the next."""


class OutageOver(Exception):
    """Another process has found Redis well and has pushed everything to it: ask it again."""


_joined: int | None = process_state.remember(__name__, "_joined", lambda: None)
"""The outage in which this process has decided calls."""


def enter(now: datetime) -> None:
    """Before deciding without Redis: begin an outage, or join the one that goes on. Whoever is in one probes."""
    global _joined  # noqa: PLW0603 - one a process is the point
    if _joined is not None:
        return
    present = _present()
    if present is None:
        RedisOutage.objects.bulk_create([RedisOutage(began_at=now, seen_at=now)], ignore_conflicts=True)
        present = _present()
    _joined = present
    if not breaker.is_open:
        # It was closed while this call was on its way here. Nobody would end the outage that it may have begun.
        breaker.trip(RedisUnreachable("calls were still decided without it"))


@contextmanager
def within() -> Iterator[None]:
    """A transaction within the outage that this process has joined: nobody ends it meanwhile. Raises OutageOver."""
    global _joined  # noqa: PLW0603
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [LOCK])
        if _joined is None or _present() != _joined:
            _joined = None
            raise OutageOver
        yield


def recover() -> None:
    """Push to Redis what changed without it, and end the outage. Raises RedisUnreachable, or OperationalError."""
    global _joined  # noqa: PLW0603
    try:
        # Every shard takes a write; a server that is full or read-only answers a PING all the same.
        counters.raise_catalogue_fence(store(), fence_version(CATALOGUE))
        push.push_all()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            push.push_all()
            RedisOutage.objects.filter(ended_at=None).update(ended_at=timezone.now())
        _joined = None
    except OperationalError:
        # PostgreSQL is gone as well. What this process has not charged without Redis, it need not push to Redis.
        if _joined is not None:
            raise
    finally:
        # The prober is a thread of its own, that nobody else closes a connection for.
        if not connection.in_atomic_block:
            connection.close()


def probe() -> None:
    """Ask whether Redis is well. Raises RedisUnreachable; the others see then that this process still is in need."""
    try:
        store().ping()
    except RedisUnreachable:
        with suppress(OperationalError, InterfaceError):
            RedisOutage.objects.filter(pk=_joined or 0, ended_at=None).update(seen_at=timezone.now())
        raise


def end_if_abandoned(now: datetime) -> None:
    """What a process that reaches Redis does about an outage of others: push to Redis all along what they charge.

    Of one that nobody is in any more, since they died in it, it brings the end. Raises RedisUnreachable.
    """
    if not _one_goes_on.at(now):  # the drain asks this each second of its life
        return
    present = RedisOutage.objects.filter(ended_at=None).first()
    if present is None:  # it has ended since
        return
    push.push_all()
    if now - present.seen_at > ABANDONED_AFTER:
        recover()


def is_active() -> bool:
    return _present() is not None


def _present() -> int | None:
    return RedisOutage.objects.filter(ended_at=None).values_list("pk", flat=True).first()


breaker = Breaker(probe, recover, settings.REDIS_PROBE_MS / 1000)


def asking_redis(question: Callable[[], T]) -> T:
    """What Redis answers. Raises RedisUnreachable, at once while the circuit is open; the first one opens it."""
    if breaker.is_open:
        raise NotExecuted("the circuit is open")
    try:
        return question()
    except RedisUnreachable as error:
        breaker.trip(error)
        raise
