"""Bulk inserts by COPY: the same rows as `bulk_create`, at less than half its cost."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models
from psycopg.types.json import Jsonb


def copy_rows(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model. A primary key that is not set is given by the database, and not read back.

    Values go as they are, so a row holds what its columns take. Raises django's DatabaseError.
    """
    if not rows:
        return
    statement, values_of = _plan(type(rows[0]), rows[0].pk is not None)
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([_plain(value) for value in values_of(row)])


def reserve_ids(model: type[models.Model], count: int) -> list[int]:
    """Primary keys for rows that others refer to before they are written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [pk for (pk,) in cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return Jsonb(value) if isinstance(value, dict) else value


@cache
def _plan(model: type[models.Model], has_pk: bool) -> tuple[str, attrgetter[tuple[Any, ...]]]:
    fields = [field for field in model._meta.local_concrete_fields if has_pk or not field.primary_key]
    columns = ", ".join(f'"{field.column}"' for field in fields)
    statement = f'COPY "{model._meta.db_table}" ({columns}) FROM STDIN'
    return statement, attrgetter(*(field.attname for field in fields))
