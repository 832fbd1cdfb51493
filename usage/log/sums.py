"""What a row of the log adds to the sums, in one place: a window's counter, its features, and the days' calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection

from usage.log import crossings
from usage.log.batch import Move
from usage.log.events import CALLS, RESET

_WHEN = " ".join(f"WHEN '{kind}' THEN {calls}" for kind, calls in CALLS.items())
CALLS_OF_KIND = f"CASE kind {_WHEN} ELSE 0 END"
"""`events.CALLS` in SQL, for a row of the log."""

DAY_TOKENS_OF_KIND = f"CASE kind WHEN '{RESET}' THEN 0 ELSE tokens END"
"""What a row of the log adds to the tokens of its day: what staff gave back of a quota was used all the same."""

# Arrays of numbers go as text (see `as_array`), and features as places in an array of their own.
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
# LATERAL with a LIMIT: each is looked up by its key. A join reads all counters there are, and compared each with each
# where PostgreSQL believed the table to be empty.
COUNTERS = f"""
SELECT coalesce(kept.tokens, 0), coalesce(kept.revision, 0), coalesce({crossings.ARE_DUE}, false)
FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS asked (account_id, starts_at, place)
LEFT JOIN LATERAL (
    SELECT * FROM usage_windowusage
        WHERE account_id = asked.account_id AND starts_at = to_timestamp(asked.starts_at) LIMIT 1
) kept ON true
ORDER BY asked.place
"""


class WindowCounter(NamedTuple):
    """An account's window, in Unix seconds, and what it counts now."""

    account: int
    starts_at: int
    ends_at: int
    tokens: int
    revision: int


def move(moves: Counter[Move], *, windows: bool = True, days: bool = True) -> None:
    """Add what rows of the log move to the sums, each move as often as it is counted.

    Without `windows` the counters of the windows are left out: they have been moved, as far as a quota allows. Without
    `days` the days are, as DAY_TOKENS_OF_KIND says.
    """
    if not moves:
        return
    moved: dict[tuple[int, int, int, int, int], list[int]] = {}
    features: dict[str, int] = {}
    for (account, start, end, name, day, kind, tokens), times in moves.items():
        feature = features.setdefault(name, len(features) + 1)
        sums = moved.setdefault((account, start, end, feature, day), [0, 0])
        sums[0] += tokens * times
        sums[1] += CALLS.get(kind, 0) * times
    columns = [as_array(column) for column in (*zip(*moved, strict=True), *zip(*moved.values(), strict=True))]
    with connection.cursor() as cursor:
        for statement in SUMS[0 if windows else 1 : None if days else -1]:
            cursor.execute(statement, [list(features), *columns])


def as_array(numbers: Iterable[int]) -> str:
    """As PostgreSQL reads an array: psycopg looks at each element of a list, at twenty times the cost."""
    return f"{{{','.join(map(str, numbers))}}}"


def counters_of(moves: Iterable[Move]) -> list[WindowCounter]:
    """The counters of the windows that these move, as they are now; thresholds that they have reached are marked."""
    ends = {(account, start): end for account, start, end, _feature, _day, _kind, _tokens in moves}
    if not ends:
        return []
    with connection.cursor() as cursor:
        cursor.execute(COUNTERS, [as_array(column) for column in zip(*ends, strict=True)])
        found = cursor.fetchall()
    crossings.mark(window for window, (*_, is_due) in zip(ends, found, strict=True) if is_due)
    return [
        WindowCounter(*window, end, tokens, revision)
        for (window, end), (tokens, revision, _) in zip(ends.items(), found, strict=True)
    ]
