"""Until when open reservations are held: heartbeats prolong them in Redis, and their rows do not know."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from redis.exceptions import ResponseError

from billing.rules.instants import from_ms
from ratelimit import reservations
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.models import Reservation
from usage.sync.outage import asking_redis


def expiries(rows: Iterable[Reservation]) -> dict[UUID, datetime]:
    """By id, one question each: for the few rows of a page. Where Redis cannot tell, it is the row's own."""
    found = {row.pk: row.expires_at for row in rows}
    for row in rows:
        try:
            kept = asking_redis(lambda row=row: reservations.read(store(), row.account_id, str(row.pk)))  # type: ignore[misc]
        except RedisUnreachable:
            break
        except ResponseError:
            continue  # damaged: what mends it is not this page
        if kept is not None:
            found[row.pk] = from_ms(kept.expires_at_ms)
    return found
