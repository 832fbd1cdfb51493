"""Statements that PostgreSQL plans once a connection: what a first call of an account reads costs mostly its plan."""

from __future__ import annotations

from django.db import connection
from django.db.backends.utils import CursorWrapper


def planned_cursor() -> CursorWrapper:
    """A cursor for a statement whose text is always the same: after some times PostgreSQL keeps its plan.

    PostgreSQL binds the parameters, so each one's type has to be clear where it stands. On another backend than
    `billing.postgres` it is `connection.cursor()`. Raises OperationalError.
    """
    cursor: CursorWrapper = getattr(connection, "planned_cursor", connection.cursor)()
    return cursor
