"""PostgreSQL's side of metering: stores events once, and moves every sum by the rows that were really inserted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache

from django.db import IntegrityError, connection, transaction
from psycopg.errors import UniqueViolation

from usage import partitions, receipts
from usage.events import CHARGE, VOID, Event, minted_at_ms
from usage.log_rows import COLUMNS, encoded
from usage.models import UsageLog, WindowUsage

DAY_MS = 86_400_000

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


def store(events: Sequence[Event]) -> list[WindowUsage]:
    """Insert what is new, in the caller's transaction; returns the counters these events belong to, as they are now.

    A void brings its charge along, so the sum is right in whichever order the two arrive. Raises MonthLeft.
    """
    if not events:
        return []
    partitions.ensure(_instant(day * DAY_MS) for day in {minted_at_ms(event.charge) // DAY_MS for event in events})
    # Charges before voids, whoever stores them: of two that store the same pair one waits, never each for the other.
    voids = [event for event in events if event.kind == VOID]
    arrived = {event.charge: event for event in events if event.kind == CHARGE} | {str(void.id): void for void in voids}
    charges = [void.charged() for void in voids]
    brought = {charge.charge: charge for charge in charges if charge.charge not in arrived}
    with partitions.month_left():
        new = [*_insert_once(brought), *_insert_new(arrived)]
    if new:
        # In this order: a call decided without Redis takes the rows it needs in the same one.
        doubled = receipts.follow(new)
        _move_sums(new)
        # The same request was charged twice, and one of the two is taken back.
        store([event.voided(event.at_ms) for event in doubled])
    return _counters({(event.account, event.window_start): event.window_end for event in events})


def _insert_new(arrived: dict[str, Event]) -> Collection[Event]:
    """Insert events, by id; returns those that were not in the log before, which is nearly always all of them."""
    try:
        # A COPY straight into the log costs half of what looking for each row first does.
        with transaction.atomic():
            _copy("usage_usagelog", arrived)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        return _insert_once(arrived)
    return arrived.values()


def _insert_once(arrived: dict[str, Event]) -> Collection[Event]:
    """Insert events, by id, of which any may be in the log; returns those that were not."""
    if not arrived:
        return []
    with connection.cursor() as cursor:
        cursor.execute(STAGING)
        _copy("usage_arrived", arrived)
        cursor.execute(INSERT_ONCE)
        return [arrived[event_id] for (event_id,) in cursor.fetchall()]


def _copy(table: str, arrived: dict[str, Event]) -> None:
    statement = f"COPY {table} ({COLUMNS}) FROM STDIN (FORMAT binary)"
    # Django wraps what a statement raises, but not what a COPY does.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for part in encoded(arrived.items()):
            copy.write(part)


def _move_sums(new: Iterable[Event]) -> None:
    # Most of a batch are alike: what they have in common is looked at once.
    alike = Counter(
        (
            (event.account, event.window_start, event.window_end, event.feature, minted_at_ms(event.charge) // DAY_MS),
            event.tokens,
            event.kind,
        )
        for event in new
    )
    moved: dict[tuple[int, int, int, str, int], list[int]] = {}
    for (key, tokens, kind), times in alike.items():
        sums = moved.setdefault(key, [0, 0])
        sums[0] += tokens * times
        sums[1] += times if kind == CHARGE else -times
    accounts, starts, ends, names, days = zip(*moved, strict=True)
    features = {feature: place for place, feature in enumerate(dict.fromkeys(names), start=1)}
    places = [features[feature] for feature in names]
    columns = [_array(column) for column in (accounts, starts, ends, places, days, *zip(*moved.values(), strict=True))]
    with connection.cursor() as cursor:
        for statement in SUMS:
            cursor.execute(statement, [list(features), *columns])


def _array(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads an array: psycopg looks at each element of a list, at twenty times the cost."""
    return f"{{{','.join(map(str, numbers))}}}"


def _counters(ends: dict[tuple[int, int], int]) -> list[WindowUsage]:
    """By account and window's start, given the windows' ends; all in Unix seconds."""
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


@lru_cache(4096)
def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
