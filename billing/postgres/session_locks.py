"""Advisory locks of a session, which no error and no rollback gives back: whoever fails with one ends its session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import Error, connection


@contextmanager
def ending_on_failure() -> Iterator[None]:
    """Around a statement that takes or gives back such locks: of several it may have got some, and it may keep them.

    So where a hang is known, nobody is let to PostgreSQL to unlock, and the connection lives on for the next request.
    """
    try:
        yield
    except Error:
        connection.close()
        raise


@contextmanager
def held_alone(space: int, key: int) -> Iterator[bool]:
    """Whether nobody else holds the lock of these two keys. It is held until the end; whoever dies lets go of it."""
    with ending_on_failure(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [space, key])
        row = cursor.fetchone()
    alone = bool(row and row[0])
    try:
        yield alone
    finally:
        if alone:
            with ending_on_failure(), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [space, key])
