"""PostgreSQL's side of metering: stores events once, and moves every sum by the rows that were really inserted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain, islice
from typing import NamedTuple

from django.db import IntegrityError, connection, transaction
from psycopg import Copy
from psycopg.errors import CheckViolation, UniqueViolation

from usage import partitions, receipts
from usage.events import CHARGE, VOID, Event, minted_all_at_ms
from usage.log_rows import COLUMNS, END, HEADER, encoded
from usage.models import UsageLog, WindowUsage

DAY_MS = 86_400_000
ROWS_A_PART = 500
"""Of a COPY: PostgreSQL works on one while the next one is read."""

Alike = tuple[int, int, int, str, int, str, int]
"""What an event moves: account, window's start and end, feature, day since 1970, kind and tokens."""

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


class Stored(NamedTuple):
    """The counters that the events belong to, as they are now; and the events that the log had before."""

    counters: list[WindowUsage]
    known: list[Event]


def store(events: Iterable[Event]) -> Stored:
    """Insert what is new, in the caller's transaction.

    The events may come from an iterator: it is asked for more while PostgreSQL takes in those before. A void brings
    its charge along, so the sum is right in whichever order the two arrive. Raises MonthLeft.
    """
    arrived: list[Event] = []
    # Charges before voids, whoever stores them: of two that store the same pair one waits, never each for the other.
    new, alike = _insert_new(_charges(iter(events), arrived))
    voids = [event for event in arrived if event.kind == VOID]
    known = _known(arrived, voids, new)
    # Receipts before sums: a call decided without Redis takes the rows it needs in the same order.
    voids = receipts.follow(new, voids)
    if voids:
        present = {event.charge for event in arrived if event.kind != VOID}
        brought = _insert_once(event.charged() for event in voids if event.charge not in present)
        _, alike_of_voids = _insert_new(iter([voids]))
        alike += _alike(brought) + alike_of_voids
    if alike:
        _move_sums(alike)
    return Stored(_counters({(event.account, event.window_start): event.window_end for event in arrived}), known)


def _known(arrived: Sequence[Event], voids: Sequence[Event], new: Sequence[Event]) -> list[Event]:
    """The charges among them that were not inserted: nearly always none."""
    if len(arrived) == len(voids) + len(new):
        return []
    inserted = {event.charge for event in new}
    return [event for event in arrived if event.kind != VOID and event.charge not in inserted]


def _charges(events: Iterator[Event], arrived: list[Event]) -> Iterator[list[Event]]:
    """The charges among them, in parts; whatever was read is noted."""
    while part := list(islice(events, ROWS_A_PART)):
        arrived += part
        yield [event for event in part if event.kind != VOID]


def _insert_new(parts: Iterator[list[Event]]) -> tuple[list[Event], Counter[Alike]]:
    """Insert events; returns those that were not in the log before, which is nearly always all of them."""
    read: list[Event] = []
    alike: Counter[Alike] = Counter()
    try:
        # A COPY straight into the log costs half of what looking for each row first does.
        with transaction.atomic(), _copying("usage_usagelog") as copy:
            for part in parts:
                read += part
                copy.write(encoded(part))
                alike.update(_alike(part))
    except IntegrityError as error:
        # Something is there already, or twice among these; or a month has no partition yet.
        if not isinstance(error.__cause__, UniqueViolation | CheckViolation):
            raise
        read += chain.from_iterable(parts)
        read = _insert_once(read)
        alike = _alike(read)
    return read, alike


def _insert_once(events: Iterable[Event]) -> list[Event]:
    """Insert events of which any may be in the log; returns those that were not. Raises MonthLeft."""
    arrived = {_id(event): event for event in events}
    if not arrived:
        return []
    partitions.ensure(_instant(day * DAY_MS) for day in {event.charged_at_ms // DAY_MS for event in arrived.values()})
    with partitions.month_left(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(STAGING)
        with _copying("usage_arrived") as copy:
            copy.write(encoded([*arrived.values()]))
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


def _alike(events: Sequence[Event]) -> Counter[Alike]:
    """How many move the sums in the same way: most of a batch are like many others, and are looked at once."""
    if not events:
        return Counter()
    charges, kinds, accounts, starts, ends, features, tokens, *_ = zip(*events, strict=True)
    days = [charged_at_ms // DAY_MS for charged_at_ms in minted_all_at_ms(charges)]
    return Counter(zip(accounts, starts, ends, features, days, kinds, tokens, strict=True))


def _move_sums(alike: Counter[Alike]) -> None:
    moved: dict[tuple[int, int, int, int, int], list[int]] = {}
    features: dict[str, int] = {}
    for (account, start, end, name, day, kind, tokens), times in alike.items():
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


def _counters(ends: dict[tuple[int, int], int]) -> list[WindowUsage]:
    """By account and window's start, given the windows' ends; all in Unix seconds."""
    if not ends:
        return []
    with connection.cursor() as cursor:
        cursor.execute(COUNTERS, [_array(column) for column in zip(*ends, strict=True)])
        return [
            WindowUsage(
                account_id=account,
                starts_at=_instant(start * 1000),
                ends_at=_instant(end * 1000),
                tokens=tokens,
                revision=revision,
            )
            for ((account, start), end), (tokens, revision) in zip(ends.items(), cursor.fetchall(), strict=True)
        ]


def window_of(row: UsageLog) -> WindowUsage:
    return WindowUsage.objects.get(account_id=row.account_id, starts_at=row.window_starts_at)


def _id(event: Event) -> str:
    return event.charge if event.kind == CHARGE else str(event.id)


@lru_cache(4096)
def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
