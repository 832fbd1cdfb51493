"""Lists of the HTTP API, newest first."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError as InvalidValue
from django.db import DataError
from django.db.models import Q, QuerySet
from django.utils.timezone import is_naive
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param


class Position(NamedTuple):
    """What a cursor says: the page behind a row or before it, which is left out."""

    before: bool
    row: tuple[Any, ...] | None
    """The row's value of each field of the ordering. None: the end of the list that lies on the other side."""


class NewestFirst(CursorPagination):
    """Lists are `{"next", "previous", "results"}`, newest first.

    A cursor names a row by all fields of `ordering`, of which the last is unique: rows of one instant are told apart.
    REST framework's own names the first field and a number of rows, and cannot go back among equal ones.
    """

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200
    ordering: tuple[str, ...]
    base_url: str

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        names = {"next": link | {"example": None}, "previous": link | {"example": None}, "results": schema}
        return {"type": "object", "required": list(names), "properties": names}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        bounds = {"minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= bounds
        return parameters

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        self.base_url = request.build_absolute_uri()
        size, given = self.get_page_size(request), request.query_params.get(self.cursor_query_param)
        try:
            at = Position(False, None) if given is None else self._position(queryset, given)
            rows = list(self._from(queryset, at)[: size + 1])
        except (InvalidValue, TypeError, ValueError, OverflowError, DataError):
            # A cursor that was made up: its values may be of any type, or no text that PostgreSQL takes.
            message = "Not a cursor of this list. Follow `next` and `previous` as they are given."
            raise serializers.ValidationError({self.cursor_query_param: [message]}) from None
        goes_on, came_from_a_row = len(rows) > size, at.row is not None
        self.page = rows[:size][::-1] if at.before else rows[:size]
        self.has_next = came_from_a_row if at.before else goes_on
        self.has_previous = goes_on if at.before else came_from_a_row
        self.display_page_controls = self.template is not None and (self.has_next or self.has_previous)
        return self.page

    def get_page_size(self, request: Request) -> int:
        limit = request.query_params.get("limit", str(self.page_size))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 9 and 1 <= int(limit) <= self.max_page_size):
            raise serializers.ValidationError({"limit": [f"Give a whole number from 1 to {self.max_page_size}."]})
        return int(limit)

    def get_next_link(self) -> str | None:
        return self._link(before=False, row=self.page[-1] if self.page else None) if self.has_next else None

    def get_previous_link(self) -> str | None:
        return self._link(before=True, row=self.page[0] if self.page else None) if self.has_previous else None

    def _link(self, *, before: bool, row: Any) -> str:
        values = None if row is None else [str(getattr(row, name)) for name in self._names()]
        cursor = urlsafe_b64encode(json.dumps([before, values]).encode()).decode()
        return replace_query_param(self.base_url, self.cursor_query_param, cursor)

    def _position(self, queryset: QuerySet[Any], cursor: str) -> Position:
        """Raises ValueError, TypeError or Django's ValidationError for what `_link` has not written."""
        before, values = json.loads(urlsafe_b64decode(cursor.encode("ascii")))
        if not isinstance(before, bool):
            raise ValueError("no direction")
        if values is None:
            return Position(before, None)
        fields = [
            queryset.model._meta.pk if name == "pk" else queryset.model._meta.get_field(name) for name in self._names()
        ]
        row = tuple(field.to_python(value) for field, value in zip(fields, values, strict=True))
        if None in row or any(hasattr(value, "utcoffset") and is_naive(value) for value in row):
            raise ValueError("no value of a row")
        return Position(before, row)

    def _from(self, queryset: QuerySet[Any], at: Position) -> QuerySet[Any]:
        """The rows beyond the position, the nearest first."""
        descending = [name.startswith("-") != at.before for name in self.ordering]
        names = self._names()
        queryset = queryset.order_by(*("-" * down + name for name, down in zip(names, descending, strict=True)))
        if at.row is None:
            return queryset
        # By the first field alone as well, for whose sake an index is read from the position on.
        equal: dict[str, Any] = {}
        beyond = Q()
        for name, down, value in zip(names, descending, at.row, strict=True):
            beyond |= Q(**equal, **{f"{name}__{'lt' if down else 'gt'}": value})
            equal[name] = value
        return queryset.filter(beyond, **{f"{names[0]}__{'lte' if descending[0] else 'gte'}": at.row[0]})

    def _names(self) -> list[str]:
        return [name.removeprefix("-") for name in self.ordering]
