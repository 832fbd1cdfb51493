"""Whether any of several querysets has a row, asked by one statement that is built once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet, Value

_NOW: Final = datetime.max.replace(tzinfo=UTC)
"""Stands in the built statement for the instant of each question."""


class AnyRow:
    """Of the querysets that `rows` gives for an instant; which they are may not hang on it otherwise.

    To build such a statement costs Django ten times what it costs to ask it.
    """

    def __init__(self, rows: Callable[[datetime], Iterable[QuerySet[Any]]]) -> None:
        self._rows = rows

    def at(self, now: datetime) -> bool:
        """Raises DatabaseError."""
        sql, parameters = self._statement
        with connection.cursor() as cursor:
            cursor.execute(sql, [now if parameter == _NOW else parameter for parameter in parameters])
            return bool(cursor.fetchone()[0])

    @cached_property
    def _statement(self) -> tuple[str, list[Any]]:
        built = [rows.order_by().values_list(Value(1)).query.sql_with_params() for rows in self._rows(_NOW)]
        sql = " OR ".join(f"EXISTS ({of_one})" for of_one, _ in built)
        return f"SELECT {sql}", [parameter for _, parameters in built for parameter in parameters]
