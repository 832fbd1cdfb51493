"""How the machinery is, as the staff's home shows it: read anew each time, as it is looked at when it stands still."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.exceptions import RedisError

from billing.models import OutboxCursor, WebhookEndpoint
from billing_site.operations import last_beat
from billing_site.operations.views import redis_state
from ratelimit.servers.single import RedisUnreachable
from usage.drain import drain
from usage.models import SetAsideEntry
from usage.sync import outage
from usage.sync.outage import asking_redis

BEAT_IS_LATE = timedelta(minutes=1)
DRAIN_IS_LATE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Operations:
    redis: str
    """ "ok", or how it is not."""
    outage: bool
    """Calls are decided without Redis, by some process."""
    backlog: int | None
    """Audit events that wait for the drain; None: Redis does not answer."""
    lag_seconds: float
    beat_at: datetime | None
    """When beat and a worker last did something; None: it is not known."""
    set_aside: int
    failing: int
    """Accounts whose messages are held up by one that fails."""
    beat_is_late: bool
    drain_is_late: bool
    webhooks_stopped: int
    """Endpoints that were disabled because of their answers."""


def read(now: datetime) -> Operations:
    redis, backlog, lag = redis_state(), None, 0.0
    if redis == "ok":  # asked before, as calls ask: the drain's way waits for seconds
        with suppress(RedisUnreachable, RedisError):
            backlog, lag = asking_redis(_backlog_and_lag)
    beat_at = last_beat.read()
    return Operations(
        redis=redis,
        outage=outage.is_active(),
        backlog=backlog,
        lag_seconds=lag,
        beat_at=beat_at,
        set_aside=SetAsideEntry.objects.count(),
        failing=OutboxCursor.objects.failing().count(),
        beat_is_late=beat_at is None or now - beat_at > BEAT_IS_LATE,
        drain_is_late=lag > DRAIN_IS_LATE_SECONDS,
        webhooks_stopped=WebhookEndpoint.objects.stopped().count(),
    )


def _backlog_and_lag() -> tuple[int, float]:
    return sum(drain.backlog().values()), drain.lag_seconds(time.time_ns() // 1_000_000)
