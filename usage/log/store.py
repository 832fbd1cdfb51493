"""PostgreSQL's side of metering: stores events once, and moves every sum by the rows that were really inserted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from django.db import IntegrityError, connection, transaction
from psycopg import Copy
from psycopg.errors import CheckViolation, UniqueViolation

from billing.fence import push
from billing.rules.instants import from_ms
from usage.log import reserved, sums
from usage.log.batch import DAY_MS, EventBatch, Move
from usage.log.copy_format import COLUMNS, END, HEADER, encoded
from usage.log.events import ADJUSTMENTS, Event
from usage.log.idempotency import keyed_charges
from usage.log.months import partitions

STAGING = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS usage_arrived ON COMMIT DELETE ROWS AS
    SELECT {COLUMNS} FROM usage_usagelog LIMIT 0;
TRUNCATE usage_arrived
"""

INSERT_ONCE = f"""
INSERT INTO usage_usagelog ({COLUMNS}) SELECT {COLUMNS} FROM usage_arrived ON CONFLICT DO NOTHING RETURNING id::text
"""


class Stored(NamedTuple):
    """The counters that the events belong to, as they are now; and the charges that the log had before."""

    counters: list[sums.WindowCounter]
    known: list[Event]


def store(events: Sequence[Event]) -> Stored:
    """Insert what is new, in the caller's transaction.

    An adjustment brings its charge along, so the sum is right in whichever order the two arrive. Raises MonthLeft.
    """
    return store_parts([EventBatch.of(events)])


def store_parts(parts: Iterable[EventBatch]) -> Stored:
    """`store` for events that come in parts: the next is asked for while PostgreSQL takes in those before."""
    arrived = _Arrived()
    # Charges before adjustments, whoever stores them: of two that store the same pair one waits, never both.
    new = _insert_new(arrived.charges(parts))
    reserved.lock(arrived.parts)
    adjustments = [event for part in arrived.parts for event in part.adjustments()]
    known = _known(arrived.parts, new)
    # Records of keys before sums: a call decided without Redis takes the rows it needs in the same order.
    keyed_charges.note([event for part in new for event in part.keyed()], adjustments)
    if adjustments or sum(map(len, new)) < sum(map(len, arrived.parts)):
        new += _insert_adjustments(adjustments, arrived.parts)
        new.append(EventBatch.of(_insert_once(reserved.note(new))))
        sums.move(Counter(chain.from_iterable(part.moves() for part in new)))
    else:
        late = EventBatch.of(_insert_once(reserved.note(new)))
        sums.move(arrived.moves + Counter(late.moves()))
    return Stored(sums.counters_of(arrived.moves), known)


@dataclass(slots=True)
class _Arrived:
    """What has been read so far, and how many of it move the sums in the same way: most are like many others."""

    parts: list[EventBatch] = field(default_factory=list)
    moves: Counter[Move] = field(default_factory=Counter)

    def charges(self, parts: Iterable[EventBatch]) -> Iterator[EventBatch]:
        for part in parts:
            self.parts.append(part)
            self.moves.update(part.moves())
            yield part.charges_only()


def _known(arrived: Sequence[EventBatch], new: Sequence[EventBatch]) -> list[Event]:
    """The charges among them that were not inserted: nearly always none."""
    charges = [part.charges_only() for part in arrived]
    if sum(map(len, charges)) == sum(map(len, new)):
        return []
    inserted = {charge for part in new for charge in part.charges}
    return [event for part in charges for event in part if event.charge not in inserted]


def _insert_adjustments(adjustments: Sequence[Event], arrived: Sequence[EventBatch]) -> list[EventBatch]:
    """And those of their charges that have not arrived; returns what was inserted."""
    if not adjustments:
        return []
    present = {charge for part in arrived for charge in part.charges_only().charges}
    brought = _insert_once(event.charged() for event in adjustments if event.charge not in present)
    return [EventBatch.of(brought), *_insert_new(iter([EventBatch.of(adjustments)]))]


def _insert_new(parts: Iterator[EventBatch]) -> list[EventBatch]:
    """Insert events; returns those that were not in the log before, which is nearly always all of them."""
    read: list[EventBatch] = []
    try:
        # A COPY straight into the log costs half of what looking for each row first does.
        with transaction.atomic(), _copying("usage_usagelog") as copy:
            for part in parts:
                read.append(part)
                copy.write(encoded(part))
    except IntegrityError as error:
        # Something is there already, or twice among these; or a month has no partition yet.
        if not isinstance(error.__cause__, UniqueViolation | CheckViolation):
            raise
        return [EventBatch.of(_insert_once(chain.from_iterable(chain(read, parts))))]
    return read


def _insert_once(events: Iterable[Event]) -> list[Event]:
    """Insert events of which any may be in the log; returns those that were not. Raises MonthLeft."""
    arrived = {_id(event): event for event in events}
    if not arrived:
        return []
    partitions.ensure(from_ms(day * DAY_MS) for day in {event.charged_at_ms // DAY_MS for event in arrived.values()})
    with partitions.month_left(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(STAGING)
        with _copying("usage_arrived") as copy:
            copy.write(encoded(EventBatch.of([*arrived.values()])))
        cursor.execute(INSERT_ONCE)
        return [arrived[event_id] for (event_id,) in cursor.fetchall()]


@contextmanager
def _copying(table: str) -> Iterator[Copy]:
    """A COPY into the table, for rows as `encoded` gives them."""
    statement = f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT binary)"
    # Django wraps what a statement raises, but not what a COPY does.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(HEADER)
        yield copy
        copy.write(END)


def _id(event: Event) -> str:
    return event.charge if event.kind not in ADJUSTMENTS else str(event.id)


def record_without_redis(events: Sequence[Event]) -> None:
    """Store events of which Redis knows nothing: it learns the new counters when the accounts are published again."""
    with transaction.atomic():
        store(events)
        push.invalidate_counters({event.account for event in events})


def record_reset(events: Sequence[Event]) -> None:
    """Store what staff give back of a window, in the caller's transaction; Redis learns it before its next call."""
    sums.move(Counter(EventBatch.of(_insert_once(events)).moves()), days=False)
    accounts = {event.account for event in events}
    push.invalidate_counters(accounts)
    transaction.on_commit(lambda: push.push(accounts), robust=True)
