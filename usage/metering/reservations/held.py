"""A reservation as it is found: who holds it, its charge, and what is known of it by now.

Whoever has decided on it holds it: Redis, or PostgreSQL while Redis was out of reach. The other one ends it where it
must, and moves its bound never.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError
from redis.exceptions import ResponseError

from billing.entitlements import snapshots
from billing.entitlements.callers import BadCredentials
from billing.rules.entitlements.entitlement import QUOTA
from billing.rules.instants import to_ms
from billing.rules.tokens import model_prices
from billing.rules.tokens.model_prices import ModelRates
from ratelimit import reservations
from ratelimit.limits import Limit
from ratelimit.reservations import Kept, Place, Terms
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log.batch import decode
from usage.log.events import CHARGE, Event
from usage.log.reservation_facts import BUDGETS, OPEN, rates_of
from usage.log.rows import event_of
from usage.metering.admit import Unavailable, standing
from usage.metering.budgets import back_to
from usage.metering.reservations.refusals import NotFound, ReservationRefused
from usage.models import Reservation, UsageLog
from usage.sync.outage import asking_redis


class Heartbeat(NamedTuple):
    """A heartbeat: units that were used so far, and what they cost in tokens. Units None: there was none."""

    used: Mapping[str, Any] | None = None
    tokens: int = 0


NO_HEARTBEAT = Heartbeat()


class Held(NamedTuple):
    """The charge of a reservation's bound, and who holds it.

    `kept` is what Redis keeps of it, if it has been asked; `told` a heartbeat that only PostgreSQL was told of.
    """

    charge: Event
    kept: Kept | None = None
    by_redis: bool = True
    told: Heartbeat = NO_HEARTBEAT

    @property
    def account(self) -> int:
        return self.charge.account

    @property
    def id(self) -> str:
        return self.charge.charge

    @property
    def parent(self) -> str:
        return str((self.charge.metadata or {}).get("parent") or "")

    @property
    def depth(self) -> int:
        return int((self.charge.metadata or {}).get("depth", 1))

    @property
    def life_ms(self) -> int:
        """Without a heartbeat."""
        expires_at: int = (self.charge.metadata or {}).get("expires_at", self.charge.at_ms)
        return max(expires_at - self.charge.at_ms, 1_000)

    @property
    def rates(self) -> ModelRates | None:
        return rates_of(self.charge)

    @property
    def window(self) -> Limit:
        """That it was charged to, whenever it ends. Its maximum is found by `terms_of`."""
        start_ms = self.charge.window_start * 1000
        return Limit(QUOTA, None, self.charge.window_end * 1000 - start_ms, start_ms)

    @property
    def place(self) -> Place:
        bounds = (self.charge.metadata or {}).get(BUDGETS, (None, None, None))
        return reservations.place(self.account, self.id, self.window, back_to(self.charge), bounds, self.parent)

    def cost_of(self, used: Mapping[str, Any]) -> int:
        """What was used costs, in tokens. Raises ReservationRefused, WrongUnits."""
        if "tokens" in used:
            return int(used["tokens"])
        if self.rates is None:
            raise ReservationRefused("invalid", reason="tokens_only")
        return model_prices.cost(self.rates, used)


def find(account: int, reservation: str) -> Held:
    """Raises NotFound; RedisUnreachable where Redis is out of reach, and PostgreSQL does not know of it yet."""
    held = look_up(account, reservation)
    if held is None:
        drain.catch_up(account)
        held = look_up(account, reservation)
    if held is None:
        raise NotFound
    return held


def look_up(account: int, reservation: str) -> Held | None:
    """The same without waiting for the log, which may be behind: None where nobody knows of it yet.

    Raises RedisUnreachable.
    """
    try:
        row = Reservation.objects.filter(pk=reservation, account=account).first()
    except (OperationalError, InterfaceError):
        row = None  # Redis may hold it all the same
    if row is not None and (row.state != OPEN or not row.by_redis):
        return _in_log(row)
    try:
        kept = asking_redis(lambda: reservations.read(store(), account, reservation))
    except ResponseError:
        kept = None  # damaged: the log has it
    except RedisUnreachable:
        if row is None:
            raise
        kept = None
    if kept is not None:
        return Held(decode(kept.audit), kept, told=_told(row))
    return None if row is None else _in_log(row)


def _in_log(row: Reservation) -> Held | None:
    charge = UsageLog.objects.filter(id=row.pk, charged_at=row.opened_at, kind=CHARGE).first()
    by_redis = row.by_redis and row.state == OPEN  # what is over is asked of nobody else
    return None if charge is None else Held(event_of(charge), by_redis=by_redis, told=_told(row))


def _told(row: Reservation | None) -> Heartbeat:
    return NO_HEARTBEAT if row is None or row.progress is None else Heartbeat(row.progress_units, row.progress)


def refresh(held: Held, now: datetime) -> bool:
    """Redis knows other facts of the account: read them anew. False where PostgreSQL has ended the reservation, or is
    to end it, since nobody is let in to the account any more.

    Raises RedisUnreachable while they change faster than they are read.
    """
    drain.catch_up(held.account)
    if Reservation.objects.filter(pk=held.id, account=held.account).exclude(state=OPEN).exists():
        return False
    try:
        standing(held.account, now)
    except BadCredentials:
        return False
    except Unavailable as error:
        raise RedisUnreachable("the account is edited faster than it is read") from error
    return True


def terms_of(held: Held, now: datetime) -> Terms:
    """The most that its window may hold: what the account has now, or had when the window was its present one."""
    snapshot = snapshots.snapshot(held.account, to_ms(now))
    quota = snapshot.entitlement.limit(QUOTA)
    if quota is not None and quota.starts_at_ms == held.window.starts_at_ms:
        return Terms(quota.maximum, snapshot.versions.account)
    return Terms((held.charge.metadata or {}).get("quota"), snapshot.versions.account)
