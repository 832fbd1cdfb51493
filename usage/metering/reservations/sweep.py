"""Finishes the reservations that nobody has settled in time, and lets go of those that PostgreSQL has finished."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from redis.exceptions import ResponseError

from billing.rules.instants import from_ms, to_ms
from ratelimit import reservations
from ratelimit.keys import due_reservations
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client, reaching_redis, store
from usage.drain import drain
from usage.log.events import REFUSED
from usage.log.reservation_facts import OPEN
from usage.metering.reservations import finishing
from usage.metering.reservations.held import find
from usage.metering.reservations.refusals import NotFound, ReservationRefused
from usage.models import Reservation, UsageLog
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
AT_ONCE = 500
LOST_AFTER = timedelta(hours=1)
"""So long after its time a reservation is looked for, of which Redis does not say that it is due."""


def may_be_due(now: datetime) -> bool:
    """False: `expire_due` would find nothing. Raises RedisUnreachable."""
    with reaching_redis():
        is_open = client().exists(*map(due_reservations, range(settings.RATELIMIT_SHARDS)))
    return bool(is_open) or _lost(now).exists()


def expire_due(now: datetime) -> int:
    """How many were finished. What is out of reach is left to the next time."""
    done = 0
    for shard in range(settings.RATELIMIT_SHARDS):
        try:
            done += _expire_shard(shard, now)
        except (RedisUnreachable, ResponseError) as error:
            logger.warning("reservations of shard %d expire later: %s", shard, error)
            if isinstance(error, RedisUnreachable):
                return done
    return done + _expire_lost(now)


def _expire_shard(shard: int, now: datetime) -> int:
    clock = to_ms(now) if settings.RATELIMIT_CLOCK == "process" else None
    done = 0
    for account, reservation in [*asking_redis(lambda: [*reservations.due(store(), shard, clock, AT_ONCE)])]:
        try:
            drain.catch_up(account)
            done += _expire(account, reservation, now)
        except NotFound:
            # Nobody has it, or its account lies in another shard by now.
            asking_redis(lambda: reservations.strike(store(), shard, account, reservation))  # noqa: B023 - runs at once
        except (RedisUnreachable, ReservationRefused, drain.Behind) as error:
            logger.warning("reservation %s expires later: %s", reservation, error)
    return done


def _expire(account: int, reservation: str, now: datetime) -> int:
    """Raises NotFound for what is not to be asked about again."""
    row = Reservation.objects.filter(pk=reservation).first()
    if row is None and UsageLog.objects.filter(id=reservation, kind=REFUSED).exists():
        raise NotFound  # its call was refused: Redis only seemed to have charged it
    if row is not None and row.state != OPEN:
        finishing.forget(account, reservation, row)
        raise NotFound
    if row is not None and not row.by_redis:
        if asking_redis(lambda: reservations.read(store(), account, reservation)) is None:
            raise NotFound
        return 0  # PostgreSQL holds it, and Redis seems to: it is asked about until PostgreSQL has finished it
    if row is not None and row.progress is not None and now < row.expires_at:
        return 0  # PostgreSQL was told of a heartbeat
    return finishing.expire(find(account, reservation), now) is not None


def _expire_lost(now: datetime) -> int:
    done = 0
    for row in _lost(now).order_by("expires_at")[:AT_ONCE]:
        try:
            held = find(row.account_id, str(row.pk))
            if finishing.expire(held, now) is not None:
                done += 1
            elif held.kept is not None:  # it lives by its heartbeats
                Reservation.objects.filter(pk=row.pk).update(expires_at=from_ms(held.kept.expires_at_ms))
        except (RedisUnreachable, ReservationRefused, drain.Behind) as error:
            logger.warning("reservation %s expires later: %s", row.pk, error)
    return done


def _lost(now: datetime) -> QuerySet[Reservation]:
    """Those that Redis does not hold, and those of which it does not say that they are due."""
    late = Q(by_redis=False, expires_at__lte=now) | Q(expires_at__lt=now - LOST_AFTER)
    return Reservation.objects.filter(late, state=OPEN)
