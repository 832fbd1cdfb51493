"""Who may touch a shard's stream and counters: one drain, or any number that publish counters to Redis.

Between a drain's commit and its acknowledgement PostgreSQL's counter already holds what Redis still calls pending. A
counter that was read then and published would count those tokens twice until the drain has gone on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import connection
from django.db.backends.utils import CursorWrapper

from billing.postgres.session_locks import ending_on_failure

SPACE = 0x0D7A1
"""Of PostgreSQL's advisory locks; the second key is the shard."""


@contextmanager
def draining(shards: Sequence[int]) -> Iterator[list[int]]:
    """Those of the shards of which this is the only drain now: not those where another one, or a teller, is at work."""
    with connection.cursor() as cursor:
        with ending_on_failure():
            cursor.execute(
                "SELECT shard FROM unnest(%s::int[]) AS shard WHERE pg_try_advisory_lock(%s, shard)", [[*shards], SPACE]
            )
        mine = [shard for (shard,) in cursor.fetchall()]
        try:
            yield mine
        finally:
            with ending_on_failure():
                _on_each(cursor, "SELECT pg_advisory_unlock(%s, shard) FROM unnest(%s::int[]) AS shard", mine)


@contextmanager
def holding_off_drains(shards: Sequence[int]) -> Iterator[None]:
    """Hold the drains of these shards off after their present batch, so that a counter can be read and published."""
    with connection.cursor() as cursor:
        with ending_on_failure():
            _on_each(cursor, "SELECT pg_advisory_lock_shared(%s, shard) FROM unnest(%s::int[]) AS shard", shards)
        try:
            yield
        finally:
            with ending_on_failure():
                _on_each(cursor, "SELECT pg_advisory_unlock_shared(%s, shard) FROM unnest(%s::int[]) AS shard", shards)


def _on_each(cursor: CursorWrapper, statement: str, shards: Sequence[int]) -> None:
    cursor.execute(statement, [SPACE, [*shards]])
