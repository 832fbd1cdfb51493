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
