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
from billing.rules.instants import from_ms, to_ms, to_seconds
from usage.log import idempotency, partitions
from usage.log.batch import DAY_MS, EventBatch, Move
from usage.log.copy_format import COLUMNS, END, HEADER, encoded
from usage.log.events import CHARGE, Event
from usage.models import UsageLog, WindowUsage

STAGING = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS usage_arrived ON COMMIT DELETE ROWS AS
    SELECT {COLUMNS} FROM usage_usagelog LIMIT 0;
TRUNCATE usage_arrived
"""

INSERT_ONCE = f"""
INSERT INTO usage_usagelog ({COLUMNS}) SELECT {COLUMNS} FROM usage_arrived ON CONFLICT DO NOTHING RETURNING id::text
"""

# Arrays of numbers go as text (see `_array`), and features as places in an array of their own.
MOVED = """(
    SELECT account_id, to_timestamp(starts_at) AS starts_at, to_timestamp(ends_at) AS ends_at,
        (%s::text[])[feature] AS feature, date '1970-01-01' + day AS date, tokens, calls
    FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::int[], %s::int[], %s::bigint[], %s::bigint[])
        AS given (account_id, starts_at, ends_at, feature, day, tokens, calls)
) AS moved"""

# In this order, and each in the order of its key: whoever else moves these rows takes them in the same order.
SUMS = (
    f"""
    INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
        SELECT account_id, starts_at, max(ends_at), sum(tokens), 1 FROM {MOVED} GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (account_id, starts_at)
        DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens, revision = kept.revision + 1
    """,
    f"""
    INSERT INTO usage_featureusage AS kept (account_id, window_starts_at, feature, tokens)
        SELECT account_id, starts_at, feature, sum(tokens) FROM {MOVED} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (account_id, window_starts_at, feature) DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens
    """,
    f"""
    INSERT INTO usage_dailyusage AS kept (account_id, date, feature, tokens, calls)
        SELECT account_id, date, feature, sum(tokens), sum(calls) FROM {MOVED} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (account_id, date, feature)
        DO UPDATE SET tokens = kept.tokens + EXCLUDED.tokens, calls = kept.calls + EXCLUDED.calls
    """,
)

# A window of which nothing was ever counted has no row: its only calls were refused, but Redis had charged them.
COUNTERS = """
SELECT coalesce(kept.tokens, 0), coalesce(kept.revision, 0)
FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS asked (account_id, starts_at, place)
LEFT JOIN usage_windowusage kept
    ON kept.account_id = asked.account_id AND kept.starts_at = to_timestamp(asked.starts_at)
ORDER BY asked.place
"""


class WindowCounter(NamedTuple):
    """An account's window, in Unix seconds, and what it counts now."""

    account: int
    starts_at: int
    ends_at: int
    tokens: int
    revision: int


class Stored(NamedTuple):
    """The counters that the events belong to, as they are now; and the charges that the log had before."""

    counters: list[WindowCounter]
    known: list[Event]


def store(events: Sequence[Event]) -> Stored:
    """Insert what is new, in the caller's transaction.

    A void brings its charge along, so the sum is right in whichever order the two arrive. Raises MonthLeft.
    """
    return store_parts([EventBatch.of(events)])


def store_parts(parts: Iterable[EventBatch]) -> Stored:
    """`store` for events that come in parts: the next is asked for while PostgreSQL takes in those before."""
    arrived = _Arrived()
    # Charges before voids, whoever stores them: of two that store the same pair one waits, never each for the other.
    new = _insert_new(arrived.charges(parts))
    voids = [void for part in arrived.parts for void in part.voids()]
    known = _known(arrived.parts, new)
    # Receipts before sums: a call decided without Redis takes the rows it needs in the same order.
    effective = idempotency.follow([event for part in new for event in part.keyed()], voids)
    if effective or sum(map(len, new)) < sum(map(len, arrived.parts)):
        new += _insert_voids(effective, arrived.parts)
        _move_sums(Counter(chain.from_iterable(part.moves() for part in new)))
    else:
        _move_sums(arrived.moves)
    return Stored(_counters(arrived.moves), known)


@dataclass(slots=True)
class _Arrived:
    """What has been read so far, and how many of it move the sums in the same way: most are like many others."""

    parts: list[EventBatch] = field(default_factory=list)
    moves: Counter[Move] = field(default_factory=Counter)

    def charges(self, parts: Iterable[EventBatch]) -> Iterator[EventBatch]:
        for part in parts:
            self.parts.append(part)
            self.moves.update(part.moves())
            yield part.without_voids()


def _known(arrived: Sequence[EventBatch], new: Sequence[EventBatch]) -> list[Event]:
    """The charges among them that were not inserted: nearly always none."""
    charges = [part.without_voids() for part in arrived]
    if sum(map(len, charges)) == sum(map(len, new)):
        return []
    inserted = {charge for part in new for charge in part.charges}
    return [event for part in charges for event in part if event.charge not in inserted]


def _insert_voids(voids: Sequence[Event], arrived: Sequence[EventBatch]) -> list[EventBatch]:
    """And those of their charges that have not arrived; returns what was inserted."""
    if not voids:
        return []
    present = {charge for part in arrived for charge in part.without_voids().charges}
    brought = _insert_once(event.charged() for event in voids if event.charge not in present)
    return [EventBatch.of(brought), *_insert_new(iter([EventBatch.of(voids)]))]


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


def _move_sums(moves: Counter[Move]) -> None:
    if not moves:
        return
    moved: dict[tuple[int, int, int, int, int], list[int]] = {}
    features: dict[str, int] = {}
    for (account, start, end, name, day, kind, tokens), times in moves.items():
        feature = features.setdefault(name, len(features) + 1)
        sums = moved.setdefault((account, start, end, feature, day), [0, 0])
        sums[0] += tokens * times
        sums[1] += times if kind == CHARGE else -times
    columns = [_array(column) for column in (*zip(*moved, strict=True), *zip(*moved.values(), strict=True))]
    with connection.cursor() as cursor:
        for statement in SUMS:
            cursor.execute(statement, [list(features), *columns])


def _array(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads an array: psycopg looks at each element of a list, at twenty times the cost."""
    return f"{{{','.join(map(str, numbers))}}}"


def _counters(moves: Iterable[Move]) -> list[WindowCounter]:
    ends = {(account, start): end for account, start, end, _feature, _day, _kind, _tokens in moves}
    if not ends:
        return []
    with connection.cursor() as cursor:
        cursor.execute(COUNTERS, [_array(column) for column in zip(*ends, strict=True)])
        found = cursor.fetchall()
    return [WindowCounter(*window, end, *kept) for (window, end), kept in zip(ends.items(), found, strict=True)]


def window_of(row: UsageLog) -> WindowUsage:
    return WindowUsage.objects.get(account_id=row.account_id, starts_at=row.window_starts_at)


def _id(event: Event) -> str:
    return event.charge if event.kind == CHARGE else str(event.id)


def record(events: Sequence[Event]) -> None:
    """Store events without Redis, which learns the new counters by the accounts' fences when it is back."""
    with transaction.atomic():
        store(events)
        push.invalidate_counters({event.account for event in events})


def event_of(row: UsageLog) -> Event:
    """The event a charge's row was made from."""
    window = window_of(row)
    return Event(
        charge=str(row.event_id),
        kind=row.kind,
        account=row.account_id,
        window_start=to_seconds(window.starts_at),
        window_end=to_seconds(window.ends_at),
        feature=row.feature,
        tokens=row.tokens,
        at_ms=to_ms(row.created_at),
        source=row.source,
        key_prefix=row.key_prefix,
        metadata=row.metadata,
    )
