"""Lists of the HTTP API, newest first."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as InvalidValue
from django.db import DataError
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class NewestFirst(CursorPagination):
    """Lists are `{"next", "previous", "results"}`, newest first."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

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
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, InvalidValue, ValueError, DataError):
            # A cursor that was made up: its position may be of any type, or no text that PostgreSQL takes.
            message = "Not a cursor of this list. Follow `next` and `previous` as they are given."
            raise serializers.ValidationError({self.cursor_query_param: [message]}) from None

    def get_page_size(self, request: Request) -> int:
        limit = request.query_params.get("limit", str(self.page_size))
        if not (limit.isascii() and limit.isdigit() and len(limit) <= 9 and int(limit) > 0):
            raise serializers.ValidationError({"limit": ["Give a whole number above 0."]})
        return min(int(limit), self.max_page_size)
