"""What events of reservations do to their rows: a row is never ahead of the log, and never behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from billing.rules.instants import from_ms
from usage.log.batch import EventBatch
from usage.log.events import CHARGE, EXTEND, RESERVE, Event
from usage.log.reservation_facts import RELEASED

OPEN = """
INSERT INTO usage_reservation (id, account_id, feature, model, run, parent_id, key_prefix, state, bound, estimated,
        outcome, units, opened_at, expires_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, 'open', %s, false, '', %s, %s, %s)
ON CONFLICT DO NOTHING
"""
LOCK = "SELECT 1 FROM usage_reservation WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE"
EXTENDED = "UPDATE usage_reservation SET bound = bound + %s WHERE id = %s"
FINISHED = """
UPDATE usage_reservation
    SET state = %s, charged = bound + %s, uncollected = greatest(%s - bound - %s, 0), estimated = %s, outcome = %s,
        units = coalesce(%s, units), finished_at = %s
    WHERE id = %s AND state = 'open'
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


def note(new: Sequence[EventBatch]) -> None:
    """Keep the rows in step with events that are new in the log, in the caller's transaction."""
    events = [event for part in new if RESERVE in part.sources for event in part if event.source == RESERVE]
    if not events:
        return
    # Charges, then what raised them, then their ends.
    opened = sorted((event for event in events if event.kind == CHARGE), key=lambda event: event.charge)
    extended = sorted((event for event in events if event.kind == EXTEND), key=_reservation)
    finished = sorted((event for event in events if event.kind not in (CHARGE, EXTEND)), key=lambda event: event.charge)
    with connection.cursor() as cursor:
        if opened:
            cursor.executemany(OPEN, [*map(_opened, opened)])
        if extended:
            cursor.executemany(EXTENDED, [(event.tokens, _reservation(event)) for event in extended])
        if finished:
            cursor.executemany(FINISHED, [*map(_finished, finished)])


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
    return (
        about.get("state", RELEASED),  # a request that failed was voided as any other
        event.tokens,
        about.get("cost", 0),
        event.tokens,
        about.get("estimated", False),
        about.get("outcome", ""),
        None if about.get("used") is None else Jsonb(about["used"]),
        from_ms(event.at_ms),
        event.charge,
    )
