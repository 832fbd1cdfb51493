"""The end of a reservation: settled, released, or expired; once, whoever comes first."""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import datetime

from django.conf import settings
from redis.exceptions import ResponseError

from billing.rules import ids
from billing.rules.instants import to_ms
from ratelimit import reservations
from ratelimit.reservations import NO_TEXTS, RESTS_ON_NONE, EndText, Finished, Kept, State, Terms, Texts
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log import reservation_facts
from usage.log.batch import decode
from usage.log.reservation_facts import OPEN, RELEASED
from usage.metering.reservations import without_redis
from usage.metering.reservations.ends import (
    EndOf,
    Report,
    Settlement,
    expired,
    released,
    settled,
    settlement,
)
from usage.metering.reservations.held import NO_HEARTBEAT, Heartbeat, Held, find, look_up, refresh, terms_of
from usage.metering.reservations.refusals import ChildrenOpen, NotFound, Over, ended_as
from usage.models import Reservation
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
TRIES = 5


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
        status, state = _finish(held, expired, now, b"", terms, report=None)
        if status is Finished.CHILDREN:
            for child in _children(held):
                expire(find(held.account, child), now)
            continue
        if status is Finished.OK:
            return _settlement(state, terms.maximum)
        if status not in (Finished.MOVED_ON, Finished.STALE):
            return None
        held = find(held.account, held.id)
    logger.warning("reservation %s expires later: it, or its account, changes faster than it is read", held.id)
    return None


def release_all(account: int, now: datetime) -> None:
    """Whatever an account holds, children before their parents. The log is up to now."""
    for row in Reservation.objects.filter(account=account, state=OPEN).order_by("-opened_at", "-pk"):
        with suppress(Over, NotFound):
            release(find(account, str(row.pk)), now)


def _end(held: Held, end_of: EndOf, now: datetime, report: Report) -> Settlement:
    report.check()
    wanted, digest = end_of(NO_HEARTBEAT).state, report.digest()
    for _ in range(TRIES):
        terms = terms_of(held, now)
        status, state = _finish(held, end_of, now, digest, terms, report=report)
        if status is Finished.OK:
            return _settlement(state, terms.maximum)
        if status is Finished.FINISHED:
            return _again(held, state, wanted, report, terms.maximum)
        if status is Finished.CHILDREN and not _let_go_of_children(held):
            raise ChildrenOpen(open=state.children)
        if status is Finished.EXPIRED:
            expire(held, now)
        held = find(held.account, held.id)
    raise RedisUnreachable(f"the reservation, or its account, changes faster than it is read ({status.name})")


def _again(held: Held, state: State, wanted: str, report: Report, maximum: int | None) -> Settlement:
    """It was finished before: the same end is answered again."""
    name = state.state.decode()
    if name == wanted and (state.digest == report.digest() or (not state.digest and _is_same(held, report))):
        return _settlement(state, maximum)
    raise ended_as(name, state.charged)


def _is_same(held: Held, report: Report) -> bool:
    """Whether PostgreSQL's row says what is reported: it was finished there, or Redis has forgotten it."""
    row = Reservation.objects.filter(pk=held.id).first()
    if row is None or row.state == RELEASED:
        return row is not None
    by_report = row.units == (None if report.used is None else dict(report.used)) and row.estimated == report.estimated
    return row.outcome == report.outcome and (by_report or (report.used is None and (row.estimated or not row.charged)))


def _settlement(state: State, maximum: int | None) -> Settlement:
    return settlement(state.state.decode(), state.bound, state.charged, state.cost, state.used, maximum)


def _finish(
    held: Held, end_of: EndOf, now: datetime, digest: bytes, terms: Terms, *, report: Report | None
) -> tuple[Finished, State]:
    """In Redis, or in PostgreSQL where that holds it, or where Redis cannot be reached or does not have it.

    Without a `report` it expires: then who holds it has to say so.
    """
    if held.by_redis:
        try:
            status, state = asking_redis(lambda: _in_redis(held, end_of, now, digest, terms, report))
        except RedisUnreachable as error:
            if report is None:
                return Finished.NOT_YET, State(0, 0, 0)
            logger.warning("reservation %s is finished in PostgreSQL: %s", held.id, error)
            status = Finished.GONE
        except ResponseError as error:
            logger.warning("reservation %s is finished in PostgreSQL: %s", held.id, error)
            status = Finished.GONE
        if status is Finished.STALE and not refresh(held, now):
            status = Finished.GONE
        if status not in (Finished.GONE, Finished.ELSEWHERE):
            return status, state
    drain.catch_up(held.account)
    status, state = without_redis.finish(held, end_of, terms.maximum, now)
    if row := Reservation.objects.filter(pk=held.id).exclude(state=OPEN).first():
        forget(held.account, held.id, row)
    return status, state


def _in_redis(
    held: Held, end_of: EndOf, now: datetime, digest: bytes, terms: Terms, report: Report | None
) -> tuple[Finished, State]:
    at_ms, kept, rests_on = to_ms(now), held.kept, RESTS_ON_NONE.encode()
    if report is None or report.used is None:
        kept = kept or reservations.read(store(), held.account, held.id)
        rests_on = b"" if kept is None else kept.progress
    end = end_of(max(held.told, _last_heartbeat(kept), key=lambda heartbeat: heartbeat.tokens))
    return reservations.finish(
        store(),
        held.place,
        state=end.state,
        cost=end.cost,
        rests_on=rests_on,
        terms=terms,
        adjustment=EndText(*reservation_facts.end_text(held.charge, end, at_ms)),
        digest=digest,
        parents=_parents_texts(held, at_ms),
        now_ms=at_ms if settings.RATELIMIT_CLOCK == "process" else None,
    )


def _parents_texts(held: Held, at_ms: int) -> Texts:
    """Those of the event that moves the parent's bound."""
    parent = look_up(held.account, held.parent) if held.parent else None
    return NO_TEXTS if parent is None else extension_texts(parent, at_ms)


def extension_texts(held: Held, at_ms: int) -> Texts:
    """Of an event that moves its bound. It is of the day of its charge, as its adjustment is."""
    event_id = ids.mint(held.charge.charged_at_ms)
    return Texts(*reservation_facts.extension(held.charge, event_id, at_ms).around_tokens())


def _last_heartbeat(kept: Kept | None) -> Heartbeat:
    if kept is None or not kept.progress:
        return NO_HEARTBEAT
    return Heartbeat(json.loads(kept.units), int(kept.progress))


def _children(held: Held) -> list[str]:
    """Those that may be open, as far as the log is: it is brought up to now."""
    drain.catch_up(held.account)
    children = Reservation.objects.filter(account=held.account, parent_id=held.id).exclude(pk=held.id)
    return [str(child) for child in children.values_list("pk", flat=True)]


def _let_go_of_children(held: Held) -> bool:
    """Whether Redis held children as open that PostgreSQL has finished."""
    ended = Reservation.objects.filter(account=held.account, pk__in=_children(held)).exclude(state=OPEN)
    return sum(forget(held.account, str(row.pk), row) for row in ended) > 0


def forget(account: int, reservation: str, row: Reservation) -> bool:
    """PostgreSQL has finished it: Redis is not to hold it any longer. Whether it did."""
    try:
        kept = asking_redis(lambda: reservations.read(store(), account, reservation))
        if kept is None or kept.state:
            return False
        cost = (row.charged or 0) + (row.uncollected or 0)
        place = Held(decode(kept.audit), kept).place
        asking_redis(lambda: reservations.forget(store(), place, state=row.state, charged=row.charged or 0, cost=cost))
    except (RedisUnreachable, ResponseError) as error:
        logger.info("reservation %s is forgotten later: %s", reservation, error)
        return False
    return True
