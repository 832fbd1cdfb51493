"""Bulk inserts by COPY: the same rows as `bulk_create`, at less than half its cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from django.db import connection, models
from psycopg.types.json import JsonbDumper


def copy_rows(rows: Sequence[models.Model]) -> None:
    """Insert rows of one model. A primary key that is not set is given by the database, and not read back.

    Values go as they are, so a row holds what its columns take. Raises django's DatabaseError.
    """
    if rows:
        fields, values_of = _plan(type(rows[0]), rows[0].pk is not None)
        copy_values(type(rows[0]), fields, map(values_of, rows))


def copy_values(model: type[models.Model], fields: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows of one model that are given as the values of some fields, such as `account_id`, as `copy_rows` does.

    A model's instance costs more than its row. What no value is given for gets the database's default.
    """
    column_of = {field.attname: field.column for field in model._meta.local_concrete_fields}
    columns = ", ".join(f'"{column_of[name]}"' for name in fields)
    statement = f'COPY "{model._meta.db_table}" ({columns}) FROM STDIN'
    with connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.adapters.register_dumper(dict, JsonbDumper)
        with cursor.copy(statement) as copy:
            for values in rows:
                copy.write_row(values)


def reserve_ids(model: type[models.Model], count: int) -> list[int]:
    """Primary keys for rows that others refer to before they are written."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [pk for (pk,) in cursor.fetchall()]


@cache
def _plan(model: type[models.Model], has_pk: bool) -> tuple[list[str], attrgetter[tuple[Any, ...]]]:
    fields = [field.attname for field in model._meta.local_concrete_fields if has_pk or not field.primary_key]
    return fields, attrgetter(*fields)
