"""Heartbeats: how far the work has come, and a bound that grows with it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.conf import settings
from redis.exceptions import ResponseError

from billing.rules.instants import to_ms
from billing.rules.tokens import model_prices
from ratelimit import reservations
from ratelimit.reservations import NO_TEXTS, Prolonged, State, Terms
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log.reservation_facts import EXPIRED, OPEN
from usage.metering.reservations import finishing, without_redis
from usage.metering.reservations.ends import Report
from usage.metering.reservations.held import Heartbeat, Held, find, look_up, refresh, terms_of
from usage.metering.reservations.refusals import BoundExceeded, NoParent, NotFound, Over, ended_as
from usage.models import Reservation
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)


class Progress(NamedTuple):
    """What a reservation holds after a heartbeat, in tokens; `used` is of its window's quota; until when it lives."""

    bound: int
    used: int
    expires_at_ms: int


def heartbeat(held: Held, used: Mapping[str, Any], now: datetime, expires_in_ms: int | None = None) -> Progress:
    """Keep what was used so far, and let the reservation live longer: as long as it was asked for, by default.

    What it has cost above its bound is reserved as well. Raises BoundExceeded when that cannot be had: the progress is
    kept, and the work is to be stopped. Raises Expired, Over, NoParent, WrongUnits, ReservationRefused.
    """
    Report(used).check()
    told = Heartbeat(used, held.cost_of(used))
    return _prolong(held, told, expires_in_ms or held.life_ms, now)


def draw(held: Held, tokens: int, now: datetime) -> Progress:
    """A child takes its bound from its parent's. Raises as `heartbeat` does."""
    parent = look_up(held.account, held.parent)
    if held.by_redis and parent is not None and not parent.by_redis:
        held = _hand_over(held)
    return _prolong(held, Heartbeat(None, tokens), held.life_ms, now, begins=True)


def _hand_over(held: Held) -> Held:
    """PostgreSQL holds its parent, so it holds the child as well, which nobody has told anything of yet."""
    drain.catch_up(held.account)
    Reservation.objects.filter(pk=held.id).update(by_redis=False)
    asking_redis(lambda: reservations.drop(store(), held.account, held.id))
    return held._replace(by_redis=False, kept=None)


def _prolong(held: Held, told: Heartbeat, life_ms: int, now: datetime, *, begins: bool = False) -> Progress:
    expires_at_ms = to_ms(now) + life_ms
    for _ in range(finishing.TRIES):
        terms = terms_of(held, now)
        status, state = _in_redis(held, told, expires_at_ms, terms, now, begins=begins)
        if status is Prolonged.STALE and refresh(held, now):
            continue
        if status in (Prolonged.GONE, Prolonged.STALE):
            drain.catch_up(held.account)
            status, state = without_redis.prolong(held, told, expires_at_ms, terms.maximum, now, begins=begins)
        break
    match status:
        case Prolonged.OK:
            return Progress(state.bound, state.used, state.expires_at_ms)
        case Prolonged.REFUSED:
            raise _exceeded(held, told, state, terms.maximum)
        case Prolonged.EXPIRED:
            finishing.expire(held, now)
            raise _over(held)
        case Prolonged.FINISHED:
            raise ended_as(state.state.decode(), state.charged)
        case Prolonged.NO_PARENT:
            raise NoParent(reason="finished")
        case Prolonged.STALE:
            raise RedisUnreachable("the account is edited faster than it is read")
        case _:
            raise NotFound


def _over(held: Held) -> Over:
    """How it has ended: it was due, but somebody may have finished it otherwise a moment before."""
    kept = find(held.account, held.id).kept
    if kept is not None and kept.state:
        return ended_as(kept.state.decode(), kept.charged)
    row = Reservation.objects.filter(pk=held.id).exclude(state=OPEN).first()
    return ended_as(EXPIRED, 0) if row is None else ended_as(row.state, row.charged or 0)


def _exceeded(held: Held, told: Heartbeat, state: State, maximum: int | None) -> BoundExceeded:
    of_parent = bool(held.parent)
    remaining = None if maximum is None else max(maximum - state.used, 0)
    fits = told.tokens - state.lacking
    rates = held.rates
    affordable = {"tokens": fits}
    if rates is not None and told.used and "tokens" not in told.used:
        affordable = model_prices.affordable(rates, told.used, fits)
    return BoundExceeded(
        of="parent" if of_parent else "quota",
        tokens_reserved=state.bound,
        tokens_lacking=state.lacking,
        tokens_remaining=remaining,
        affordable=affordable,
    )


def _in_redis(
    held: Held, told: Heartbeat, expires_at_ms: int, terms: Terms, now: datetime, *, begins: bool
) -> tuple[Prolonged, State]:
    """GONE also where PostgreSQL holds it, or Redis cannot be asked."""
    if not held.by_redis:
        return Prolonged.GONE, State(0, 0, 0)
    at_ms = to_ms(now)
    try:
        parent = asking_redis(lambda: look_up(held.account, held.parent)) if held.parent else None
        return asking_redis(
            lambda: reservations.prolong(
                store(),
                held.place,
                tokens=told.tokens,
                units=json.dumps(dict(told.used or {})).encode(),
                expires_at_ms=expires_at_ms,
                terms=terms,
                raised=finishing.extension_texts(held, at_ms),
                parents=NO_TEXTS if parent is None else finishing.extension_texts(parent, at_ms),
                begins=begins,
                now_ms=at_ms if settings.RATELIMIT_CLOCK == "process" else None,
            )
        )
    except (RedisUnreachable, ResponseError) as error:
        logger.warning("the heartbeat of reservation %s is kept in PostgreSQL: %s", held.id, error)
        return Prolonged.GONE, State(0, 0, 0)
