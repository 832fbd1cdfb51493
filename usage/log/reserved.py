"""What events of reservations do to their rows: a row is never ahead of the log, and never behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from billing.rules.instants import from_ms
from usage.log.batch import EventBatch
from usage.log.events import CHARGE, EXTEND, RESERVE, Event
from usage.log.reservation_facts import HELD, RELEASED, correction

OPEN = """
INSERT INTO usage_reservation (id, account_id, feature, model, run, parent_id, key_prefix, state, bound, estimated,
        outcome, units, opened_at, expires_at, by_redis)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'open', %s, false, '', %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
LOCK = "SELECT 1 FROM usage_reservation WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE"
EXTENDED = "UPDATE usage_reservation SET bound = bound + %s WHERE id = %s AND state = 'open'"
FINISHED = """
UPDATE usage_reservation
    SET state = %s, charged = coalesce(%s, bound) + %s, uncollected = greatest(%s - coalesce(%s, bound) - %s, 0),
        estimated = %s, outcome = %s, units = coalesce(%s, units), finished_at = %s
    WHERE id = %s AND state = 'open' RETURNING bound
"""


def lock(arrived: Sequence[EventBatch]) -> None:
    """Lock the rows of all reservations that these adjust or extend, in the order of their ids, for the transaction.

    Before adjustments are inserted: whoever ends one in PostgreSQL has its row, and waits for the adjustment.
    """
    names = {
        _reservation(event) if event.kind == EXTEND else event.charge
        for part in arrived
        if RESERVE in part.sources
        for event in part
        if event.source == RESERVE and event.kind != CHARGE
    }
    if names:
        with connection.cursor() as cursor:
            cursor.execute(LOCK, [sorted(names)])


def note(new: Sequence[EventBatch], *, by_redis: bool = True) -> list[Event]:
    """Keep the rows in step with events that are new in the log, in the caller's transaction.

    Returns what the log takes as well: an extension that comes after the end is taken back, since the end did not know
    of it. `by_redis`: the reservations that are opened here are held by Redis.
    """
    events = [event for part in new if RESERVE in part.sources for event in part if event.source == RESERVE]
    if not events:
        return []
    # Charges, then what raised them, then their ends.
    opened = sorted((event for event in events if event.kind == CHARGE), key=lambda event: event.charge)
    extended = sorted((event for event in events if event.kind == EXTEND), key=_reservation)
    finished = sorted((event for event in events if event.kind not in (CHARGE, EXTEND)), key=lambda event: event.charge)
    late = []
    with connection.cursor() as cursor:
        if opened:
            cursor.executemany(OPEN, [(*_opened(event), by_redis) for event in opened])
        for event in extended:
            cursor.execute(EXTENDED, [event.tokens, _reservation(event)])
            if not cursor.rowcount:
                late.append(event.settled(0, event.at_ms))
        for event in finished:
            cursor.execute(FINISHED, _finished(event))
            held, known = (event.metadata or {}).get(HELD), cursor.fetchone()
            if held is not None and known is not None and held != known[0]:
                late.append(correction(event, held - known[0]))  # Redis was restarted with older data
    return late


def _reservation(extension: Event) -> str:
    """The reservation that an event extends; its charge is its own id."""
    return str((extension.metadata or {})["reservation"])


def _opened(event: Event) -> tuple[Any, ...]:
    about = event.metadata or {}
    return (
        event.charge,
        event.account,
        event.feature,
        about.get("model", ""),
        about.get("run", ""),
        about.get("parent"),
        event.key_prefix,
        event.tokens,
        None if about.get("units") is None else Jsonb(about["units"]),
        from_ms(event.charged_at_ms),
        from_ms(about["expires_at"]),
    )


def _finished(event: Event) -> tuple[Any, ...]:
    about = event.metadata or {}
    state = about.get("state", RELEASED)  # a request that failed was voided as any other
    return (
        state,
        about.get(HELD),
        event.tokens,
        about.get("cost", 0) if "state" in about else 0,
        about.get(HELD),
        event.tokens,
        bool(about.get("estimated")) if "state" in about else False,
        about.get("outcome", ""),
        None if about.get("used") is None else Jsonb(about["used"]),
        from_ms(event.at_ms),
        event.charge,
    )
