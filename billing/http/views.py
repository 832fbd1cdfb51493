"""What all views of the HTTP API share: strict input, lists, and who may come in."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from django.core.exceptions import ValidationError as InvalidValue
from django.db import DataError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import NotFound, UnsupportedMediaType
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request, is_form_media_type
from rest_framework.views import APIView

UNLIMITED = "unlimited"
NO_BODY = (None, "", "0")


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know, by name."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            known = ", ".join(sorted(self.fields)) or "none"
            raise serializers.ValidationError(
                {name: [f"Unknown field. Known are: {known}."] for name in sorted(map(str, unknown))}
            )
        return super().to_internal_value(data)


class ApiView(APIView):
    """A view of the API. The gateway has identified and admitted the caller: `request.caller`, `request.admission`.

    `public`: answers without credentials, too; credentials that are given still have to be good.
    `query_fields`: the query parameters the view knows; others are refused by name.
    """

    public: ClassVar[bool] = False
    query_fields: ClassVar[frozenset[str]] = frozenset()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A form that the CSRF check or an idempotency key has read would reach the view as an empty body.
        if not force and is_form_media_type(request.content_type) and request.META.get("CONTENT_LENGTH") not in NO_BODY:
            raise UnsupportedMediaType(request.content_type)
        return super().perform_content_negotiation(request, force)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        unknown = set(request.query_params) - self.query_fields - {"format"}
        if unknown:
            known = ", ".join(sorted(self.query_fields)) or "none"
            raise serializers.ValidationError(
                {name: [f"Unknown query parameter. Known are: {known}."] for name in sorted(unknown)}
            )


def account_of(request: Request) -> int:
    """Whose request it is; the view is not public."""
    return int(cast(Any, request._request).caller.account)


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


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "enum": [UNLIMITED]}]})
class NumberOrUnlimited(serializers.Field[Any, Any, Any, Any]):
    """A number; None, for which a serializer would not ask `to_representation`, is "unlimited"."""

    def get_attribute(self, instance: Any) -> Any:
        value = super().get_attribute(instance)
        return UNLIMITED if value is None else value

    def to_representation(self, value: int | str) -> int | str:
        return value


@extend_schema_field(OpenApiTypes.NUMBER)
class MoneyField(serializers.Field[Any, Any, Any, Any]):
    """An amount with its currency's decimals, as a JSON number; it is given as such (`money.in_currency`)."""

    def to_representation(self, value: Any) -> Any:
        return value
