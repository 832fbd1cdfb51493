"""Finishes the reservations that nobody has settled in time, and lets go of those that PostgreSQL has finished."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from redis.exceptions import ResponseError

from billing.rules.instants import from_ms, to_ms
from ratelimit import reservations
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log.events import REFUSED
from usage.log.reservation_facts import OPEN, RELEASED
from usage.metering.reservations import finishing
from usage.metering.reservations.held import Held, find
from usage.metering.reservations.refusals import NotFound
from usage.models import Reservation, UsageLog
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
AT_ONCE = 500
LOST_AFTER = timedelta(hours=1)
"""So long after its time a reservation is looked for, of which Redis does not say that it is due."""


def expire_due(now: datetime) -> int:
    """How many were finished. What is out of reach is left to the next time."""
    done = 0
    for shard in range(settings.RATELIMIT_SHARDS):
        try:
            done += _expire_shard(shard, now)
        except (RedisUnreachable, ResponseError, drain.Behind) as error:
            logger.warning("reservations of shard %d expire later: %s", shard, error)
            if isinstance(error, RedisUnreachable):
                return done
    return done + _expire_lost(now)


def _expire_shard(shard: int, now: datetime) -> int:
    clock = to_ms(now) if settings.RATELIMIT_CLOCK == "process" else None
    done = 0
    for account, reservation in [*asking_redis(lambda: [*reservations.due(store(), shard, clock, AT_ONCE)])]:
        drain.catch_up(account)
        row = Reservation.objects.filter(pk=reservation).first()
        if row is not None and row.state != OPEN:
            cost = (row.charged or 0) + (row.uncollected or 0)
            _forget(account, reservation, row.state, row.charged or 0, cost)
        elif row is None and UsageLog.objects.filter(id=reservation, kind=REFUSED).exists():
            _forget(account, reservation, RELEASED, 0, 0)  # its call was refused: it only seemed to be charged
        else:
            done += finishing.expire(find(account, reservation), now) is not None
    return done


def _forget(account: int, reservation: str, state: str, charged: int, cost: int) -> None:
    try:
        held: Held = find(account, reservation)
    except NotFound:
        return
    place = held.place
    asking_redis(lambda: reservations.forget(store(), place, state=state, charged=charged, cost=cost))


def _expire_lost(now: datetime) -> int:
    """Those of which Redis does not say that they are due: lost, or opened while it was out of reach."""
    lost = Reservation.objects.filter(state=OPEN, expires_at__lt=now - LOST_AFTER).order_by("expires_at")
    done = 0
    for row in lost[:AT_ONCE]:
        try:
            held = find(row.account_id, str(row.pk))
        except NotFound:
            continue
        if finishing.expire(held, now) is not None:
            done += 1
        elif held.kept is not None:  # it lives by its heartbeats
            Reservation.objects.filter(pk=row.pk).update(expires_at=from_ms(held.kept.expires_at_ms))
    return done
