"""The same in PostgreSQL, while Redis is out of reach, or has lost a reservation.

The end of a reservation is one row of the log, whoever writes it: of two that end it at once one wins.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from billing.fence.fenced import push_on_commit
from billing.rules import ids
from billing.rules.instants import from_ms, from_seconds, to_ms
from ratelimit.limiter import UNLIMITED
from ratelimit.reservations import Beaten, Finished, State
from usage.log import reservation_facts
from usage.log.events import CHARGE, Event
from usage.log.reservation_facts import EXPIRED, OPEN
from usage.log.rows import event_of
from usage.log.store import record_without_redis
from usage.metering.reservations.ends import NO_BEAT, Beat, EndOf
from usage.metering.reservations.held import Held
from usage.models import Reservation, UsageLog, WindowUsage


class _Locked(NamedTuple):
    row: Reservation | None
    parent: Reservation | None


def _lock(held: Held) -> _Locked:
    """The row, and its parent's, in the order of their ids, which is that of the log's store, too."""
    names = [held.id, *([held.parent] if held.parent else [])]
    rows = Reservation.objects.select_for_update().filter(pk__in=names, account=held.account).order_by("pk")
    found = {str(row.pk): row for row in rows}
    parent = found.get(held.parent)
    return _Locked(found.get(held.id), parent if parent is not None and parent.state == OPEN else None)


def finish(held: Held, end_of: EndOf, maximum: int | None, now: datetime) -> tuple[Finished, State]:
    """As ratelimit.reservations.finish. It is due by PostgreSQL's row alone: who expires it has asked Redis before."""
    with transaction.atomic():
        row, parent = _lock(held)
        used = _used(held)
        if row is not None and row.state != OPEN:
            return Finished.FINISHED, _ended(row, used)
        open_children = Reservation.objects.filter(parent_id=held.id, account=held.account, state=OPEN).count()
        if open_children:
            return Finished.CHILDREN, State(0, 0, used, children=open_children)
        bound = held.charge.tokens if row is None else row.bound
        end = end_of(NO_BEAT if row is None else Beat(row.progress_units, row.progress or 0))
        if end.state == EXPIRED and row is not None and now < row.expires_at:
            return Finished.NOT_YET, State(bound, to_ms(row.expires_at), used)
        room = max((UNLIMITED if maximum is None else maximum) - used, 0) if parent is None else parent.bound
        charged = bound + min(end.cost - bound, room)
        moved = charged - bound
        events = [reservation_facts.adjustment(held.charge, end, to_ms(now))._replace(tokens=moved)]
        if parent is not None and moved:
            events.append(_extension(parent, -moved, now))
        record_without_redis(events)
        push_on_commit(held.account)
        used += 0 if parent is not None else moved
        return Finished.OK, State(bound, 0, used, charged=charged, cost=end.cost, state=end.state.encode())


def prolong(
    held: Held, beat: Beat, expires_at_ms: int, maximum: int | None, now: datetime, *, begins: bool = False
) -> tuple[Beaten, State]:
    """As ratelimit.reservations.prolong."""
    with transaction.atomic():
        row, parent = _lock(held)
        used = _used(held)
        if row is None:
            return Beaten.GONE, State(0, 0, used)
        if row.state != OPEN:
            return Beaten.FINISHED, _ended(row, used)
        if held.parent and parent is None:
            return Beaten.NO_PARENT, State(row.bound, 0, used)
        if not begins:
            row.progress, row.progress_units = beat.tokens, beat.used
        need = max(beat.tokens - row.bound, 0)
        room = (UNLIMITED if maximum is None else maximum) - used if parent is None else parent.bound
        refused = need > 0 and need > room
        if not refused:
            row.expires_at = max(row.expires_at, from_ms(expires_at_ms))
            if parent is not None:
                row.expires_at = min(row.expires_at, parent.expires_at)
        row.save(update_fields=["progress", "progress_units", "expires_at"])
        if refused:
            return Beaten.REFUSED, State(row.bound, to_ms(row.expires_at), used, lacking=need - max(room, 0))
        if need:
            events = [_extension(row, need, now)]
            events += [_extension(parent, -need, now)] if parent is not None else []
            record_without_redis(events)
            push_on_commit(held.account)
        used += need if parent is None else 0
        return Beaten.OK, State(row.bound + need, to_ms(row.expires_at), used)


def _extension(row: Reservation, tokens: int, now: datetime) -> Event:
    charge = event_of(UsageLog.objects.get(id=row.pk, charged_at=row.opened_at, kind=CHARGE))
    at_ms = to_ms(now)
    return reservation_facts.extension(charge, ids.mint(at_ms), at_ms)._replace(tokens=tokens)


def _ended(row: Reservation, used: int) -> State:
    cost = (row.charged or 0) + (row.uncollected or 0)
    return State(row.bound, 0, used, charged=row.charged or 0, cost=cost, state=row.state.encode())


def _used(held: Held) -> int:
    """Of its window, locked for the present transaction."""
    windows = WindowUsage.objects.filter(account_id=held.account, starts_at=from_seconds(held.charge.window_start))
    return windows.select_for_update().values_list("tokens", flat=True).first() or 0
