"""What all views of the HTTP API share: what they declare, strict input, and whose request it is."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.generics import ListAPIView
from rest_framework.request import Request, is_form_media_type
from rest_framework.views import APIView

from billing.http.access import UNDECLARED, Access
from billing.http.fields import refuse_unknown
from billing.outbox import actor
from billing.outbox.actor import acting_as

NO_BODY = (None, "", "0")


class ApiView(APIView):
    """A view of the API."""

    access: ClassVar[Access] = UNDECLARED
    query_fields: ClassVar[frozenset[str]] = frozenset()
    """The query parameters the view knows; it refuses others by name."""
    documented_paths: ClassVar[tuple[str, ...]] = ()
    """The paths that the OpenAPI document shows in place of the URL pattern, which serves more than these."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with acting_as(_actor(request)):
            return super().dispatch(request, *args, **kwargs)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A form that the CSRF check or an idempotency key has read would reach the view as an empty body.
        if not force and is_form_media_type(request.content_type) and request.META.get("CONTENT_LENGTH") not in NO_BODY:
            raise UnsupportedMediaType(request.content_type)
        return super().perform_content_negotiation(request, force)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        known = self.query_fields
        refuse_unknown("query parameter", (n for n in request.query_params if n not in known and n != "format"), known)


def _actor(request: Any) -> str:
    caller = getattr(request, "caller", None)  # as the gateway identified it
    if caller is None:
        return actor.SYSTEM
    return actor.key(caller.key_prefix) if caller.key_prefix else actor.user(caller.account)


def account_of(request: Request) -> int:
    """Whose request it is, in a view that is not public."""
    caller: Any = request.auth  # as the gateway identified it (billing_site.request.authentication)
    return int(caller.account)


class OwnList(ApiView, ListAPIView[Any]):
    """Rows of the caller, page by page."""

    query_fields = frozenset({"cursor", "limit"})
    model: type[Model]

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return self.model._default_manager.none()
        return self.rows_of(account_of(self.request))

    def rows_of(self, account: int) -> QuerySet[Any]:
        raise NotImplementedError
