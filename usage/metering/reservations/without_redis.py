"""The same in PostgreSQL: of what it holds itself, and the end of what Redis holds where that cannot be asked.

The end of a reservation is one row of the log, whoever writes it: of two that end it at once one wins.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from billing.fence.fenced import push_on_commit
from billing.rules import ids
from billing.rules.instants import from_ms, from_seconds, to_ms
from ratelimit.reservations import Finished, Prolonged, State
from ratelimit.scripts import UNLIMITED
from usage.log import reservation_facts
from usage.log.events import CHARGE, Event
from usage.log.reservation_facts import EXPIRED, OPEN
from usage.log.rows import event_of
from usage.log.store import record_without_redis
from usage.metering.reservations.ends import EndOf
from usage.metering.reservations.held import NO_HEARTBEAT, Heartbeat, Held
from usage.models import Reservation, UsageLog, WindowUsage


class _Locked(NamedTuple):
    """The row, and its parent's if that is open and held by PostgreSQL as well."""

    row: Reservation | None
    parent: Reservation | None


def _lock(held: Held) -> _Locked:
    """In the order of their ids, which is that of the log's store, too."""
    names = [held.id, *([held.parent] if held.parent else [])]
    rows = Reservation.objects.select_for_update().filter(pk__in=names, account=held.account).order_by("pk")
    found = {str(row.pk): row for row in rows}
    parent = found.get(held.parent)
    if parent is not None and (parent.state != OPEN or parent.by_redis):
        parent = None
    return _Locked(found.get(held.id), parent)


def finish(held: Held, end_of: EndOf, maximum: int | None, now: datetime) -> tuple[Finished, State]:
    """As ratelimit.reservations.finish. It is due by PostgreSQL's row alone: who expires it has asked Redis before.

    What Redis holds gives back to its quota, also a child: its parent's bound is Redis' own.
    """
    if not Reservation.objects.filter(pk=held.id).exists():
        # Its charge is in Redis' stream, and comes along: by itself, as whoever stores events has the account's fence
        # last, and what follows takes the window's row.
        record_without_redis([held.charge])
    with transaction.atomic():
        row, parent = _lock(held)
        assert row is not None
        if row.state != OPEN:
            return Finished.FINISHED, _ended(row, _used(held))
        open_children = Reservation.objects.filter(parent_id=held.id, account=held.account, state=OPEN).count()
        if open_children:
            return Finished.CHILDREN, State(0, 0, 0, children=open_children)
        end = end_of(NO_HEARTBEAT if row.progress is None else Heartbeat(row.progress_units, row.progress))
        if end.state == EXPIRED and now < row.expires_at:
            return Finished.NOT_YET, State(row.bound, to_ms(row.expires_at), 0)
        used = _used(held)
        room = max((UNLIMITED if maximum is None else maximum) - used, 0) if parent is None else parent.bound
        charged = row.bound + min(end.cost - row.bound, room)
        moved = charged - row.bound
        events = [reservation_facts.adjustment(held.charge, end, to_ms(now))._replace(tokens=moved)]
        if parent is not None and moved:
            events.append(_extension(parent, -moved, now))
        record_without_redis(events)
        push_on_commit(held.account)
        used += 0 if parent is not None else moved
        return Finished.OK, State(row.bound, 0, used, charged=charged, cost=end.cost, state=end.state.encode())


def prolong(
    held: Held, heartbeat: Heartbeat, expires_at_ms: int, maximum: int | None, now: datetime, *, begins: bool = False
) -> tuple[Prolonged, State]:
    """As ratelimit.reservations.prolong. The bound of what Redis holds stays as it is: the progress alone is kept."""
    with transaction.atomic():
        row, parent = _lock(held)
        if row is None:
            return Prolonged.GONE, State(0, 0, 0)
        used = _used(held)
        if row.state != OPEN:
            return Prolonged.FINISHED, _ended(row, used)
        if held.parent and parent is None and not row.by_redis:
            return Prolonged.NO_PARENT, State(row.bound, 0, used)
        if not begins:
            row.progress, row.progress_units = heartbeat.tokens, heartbeat.used
        need = max(heartbeat.tokens - row.bound, 0)
        room = (UNLIMITED if maximum is None else maximum) - used if parent is None else parent.bound
        room = 0 if row.by_redis else room
        refused = need > 0 and need > room
        if not refused:
            row.expires_at = max(row.expires_at, from_ms(expires_at_ms))
            if parent is not None:
                row.expires_at = min(row.expires_at, parent.expires_at)
        row.save(update_fields=["progress", "progress_units", "expires_at"])
        if refused:
            return Prolonged.REFUSED, State(row.bound, to_ms(row.expires_at), used, lacking=need - max(room, 0))
        if need:
            events = [_extension(row, need, now)]
            events += [_extension(parent, -need, now)] if parent is not None else []
            record_without_redis(events)
            push_on_commit(held.account)
        used += need if parent is None else 0
        return Prolonged.OK, State(row.bound + need, to_ms(row.expires_at), used)


def _extension(row: Reservation, tokens: int, now: datetime) -> Event:
    charge = event_of(UsageLog.objects.get(id=row.pk, charged_at=row.opened_at, kind=CHARGE))
    event_id = ids.mint(charge.charged_at_ms)
    return reservation_facts.extension(charge, event_id, to_ms(now))._replace(tokens=tokens)


def _ended(row: Reservation, used: int) -> State:
    cost = (row.charged or 0) + (row.uncollected or 0)
    return State(row.bound, 0, used, charged=row.charged or 0, cost=cost, state=row.state.encode())


def _used(held: Held) -> int:
    """Of its window, locked for the present transaction."""
    windows = WindowUsage.objects.filter(account_id=held.account, starts_at=from_seconds(held.charge.window_start))
    return windows.select_for_update().values_list("tokens", flat=True).first() or 0
