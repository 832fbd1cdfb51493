"""What all views of the HTTP API share: strict input, lists, and who may come in."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from rest_framework import serializers
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request, is_form_media_type
from rest_framework.views import APIView

NO_BODY = (None, "", "0")


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
