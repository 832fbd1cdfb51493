"""The end of a reservation: settled, released, or expired; once, whoever comes first."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import datetime

from django.conf import settings
from prometheus_client import Counter
from redis.exceptions import ResponseError

from billing.rules import ids
from billing.rules.instants import to_ms
from ratelimit import reservations
from ratelimit.reservations import NO_TEXTS, RESTS_ON_NONE, Finished, Kept, State, Terms, Texts
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log import reservation_facts
from usage.log.reservation_facts import EXPIRED, OPEN, RELEASED
from usage.metering.reservations import without_redis
from usage.metering.reservations.ends import (
    NO_BEAT,
    Beat,
    EndOf,
    Report,
    Settlement,
    expired,
    released,
    settled,
    settlement,
)
from usage.metering.reservations.held import Held, find, refresh, terms_of
from usage.metering.reservations.refusals import ChildrenOpen, Expired, NotFound, Over
from usage.models import Reservation
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
TRIES = 5
reservations_expired = Counter("usage_reservations_expired", "Reservations that nobody has settled in time.")
tokens_uncollected = Counter("usage_tokens_uncollected", "Tokens above a bound that no quota had: nobody pays them.")


def settle(held: Held, report: Report, now: datetime) -> Settlement:
    """Charge what was used. The same report again is answered as the first time.

    Raises Over when it was finished otherwise, Expired when it was due, ChildrenOpen; WrongUnits for units that cannot
    be read; RedisUnreachable when nobody knows of it for now.
    """
    return _end(held, settled(held, report), now, report)


def release(held: Held, now: datetime) -> Settlement:
    """Give back all of it: nothing was done. Raises as `settle` does."""
    return _end(held, released, now, Report(None, RELEASED))


def expire(held: Held, now: datetime) -> Settlement | None:
    """Finish what is due, by its last heartbeat, and its children before it; None when it is not due, or is over."""
    for _ in range(TRIES):
        terms = terms_of(held, now)
        status, state = _finish(held, expired, now, EXPIRED, b"", terms)
        if status is Finished.CHILDREN:
            for child in _children(held):
                expire(find(held.account, child), now)
            continue
        if status is Finished.OK:
            reservations_expired.inc()
            return _settlement(state, terms.maximum)
        if status not in (Finished.MOVED_ON, Finished.STALE):
            return None
        held = find(held.account, held.id)
    return None


def release_all(account: int, now: datetime) -> None:
    """Whatever an account holds, children before their parents. The log is up to now."""
    for row in Reservation.objects.filter(account=account, state=OPEN).order_by("-opened_at", "-pk"):
        with suppress(Over, NotFound):
            release(find(account, str(row.pk)), now)


def _end(held: Held, end_of: EndOf, now: datetime, report: Report) -> Settlement:
    wanted, digest = end_of(NO_BEAT).state, report.digest()
    for _ in range(TRIES):
        terms = terms_of(held, now)
        rests_on = RESTS_ON_NONE if report.used is not None else ""
        status, state = _finish(held, end_of, now, rests_on, digest, terms)
        if status is Finished.OK:
            return _settlement(state, terms.maximum)
        if status is Finished.FINISHED:
            return _again(held, state, wanted, report, terms.maximum)
        if status is Finished.CHILDREN:
            raise ChildrenOpen(open=state.children)
        if status is Finished.EXPIRED:
            expire(held, now)
        held = find(held.account, held.id)
    raise Over(state=RELEASED, tokens_charged=0)


def _again(held: Held, state: State, wanted: str, report: Report, maximum: int | None) -> Settlement:
    """It was finished before: the same end is answered again."""
    name = state.state.decode()
    if name == wanted and (state.digest == report.digest() or (not state.digest and _is_same(held, report))):
        return _settlement(state, maximum)
    over = Expired if name == EXPIRED else Over
    raise over(state=name, tokens_charged=state.charged)


def _is_same(held: Held, report: Report) -> bool:
    """Whether PostgreSQL's row says what is reported: it was finished there, or Redis has forgotten it."""
    row = Reservation.objects.get(pk=held.id)
    return row.state == RELEASED or (
        row.outcome == report.outcome and (report.used is None or row.units == dict(report.used))
    )


def _settlement(state: State, maximum: int | None) -> Settlement:
    return settlement(state.state.decode(), state.bound, state.charged, state.cost, state.used, maximum)


def _finish(
    held: Held, end_of: EndOf, now: datetime, rests_on: str, digest: bytes, terms: Terms
) -> tuple[Finished, State]:
    """In Redis, or in PostgreSQL where Redis cannot be reached or does not have it."""
    status, state = _in_redis(held, end_of, now, rests_on, digest, terms)
    if status is Finished.STALE and not refresh(held, now):
        status = Finished.GONE
    if status in (Finished.GONE, Finished.ELSEWHERE):
        drain.catch_up(held.account)
        status, state = without_redis.finish(held, end_of, terms.maximum, now)
        if status is Finished.FINISHED:
            _forget(held, state)
    if status is Finished.OK:
        tokens_uncollected.inc(max(state.cost - state.charged, 0))
    return status, state


def _in_redis(
    held: Held, end_of: EndOf, now: datetime, rests_on: str, digest: bytes, terms: Terms
) -> tuple[Finished, State]:
    at_ms = to_ms(now)
    try:
        kept = held.kept
        if rests_on != RESTS_ON_NONE and kept is None:
            kept = asking_redis(lambda: reservations.read(store(), held.account, held.id))
        end = end_of(_beat(kept))
        parents = _parents_texts(held, at_ms)
        return asking_redis(
            lambda: reservations.finish(
                store(),
                held.place,
                state=end.state,
                cost=end.cost,
                rests_on=RESTS_ON_NONE if rests_on == RESTS_ON_NONE else (b"" if kept is None else kept.beaten),
                terms=terms,
                adjustment=Texts(*reservation_facts.adjustment(held.charge, end, at_ms).around_tokens()),
                digest=digest,
                parents=parents,
                now_ms=at_ms if settings.RATELIMIT_CLOCK == "process" else None,
            )
        )
    except (RedisUnreachable, ResponseError) as error:
        logger.warning("reservation %s is finished in PostgreSQL: %s", held.id, error)
        return Finished.GONE, State(0, 0, 0)


def _parents_texts(held: Held, at_ms: int) -> Texts:
    """Those of the event that moves the parent's bound."""
    if not held.parent:
        return NO_TEXTS
    try:
        parent = find(held.account, held.parent)
    except NotFound:
        return NO_TEXTS
    return Texts(*reservation_facts.extension(parent.charge, ids.mint(at_ms), at_ms).around_tokens())


def _beat(kept: Kept | None) -> Beat:
    if kept is None or not kept.beaten:
        return NO_BEAT
    return Beat(json.loads(kept.units), int(kept.beaten))


def _children(held: Held) -> list[str]:
    """Those that may be open, as far as the log is: it is brought up to now."""
    drain.catch_up(held.account)
    children = Reservation.objects.filter(account=held.account, parent_id=held.id).exclude(pk=held.id)
    return [str(child) for child in children.values_list("pk", flat=True)]


def _forget(held: Held, state: State) -> None:
    """PostgreSQL has finished it: Redis is not to hold it any longer."""
    try:
        asking_redis(
            lambda: reservations.forget(
                store(), held.place, state=state.state.decode(), charged=state.charged, cost=state.cost
            )
        )
    except (RedisUnreachable, ResponseError) as error:
        logger.info("reservation %s is forgotten later: %s", held.id, error)
