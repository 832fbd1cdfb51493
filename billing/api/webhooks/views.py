"""Webhooks over HTTP: endpoints made, changed, rotated, pinged; deliveries looked at and sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from billing.api.domain_problems import asked
from billing.api.key_views import FORBIDDEN, Managed
from billing.api.sentences import to_customer
from billing.api.webhooks.serializers import (
    DeliverySerializer,
    EndpointChangeRequest,
    EndpointSerializer,
    NewEndpointRequest,
    NewEndpointSerializer,
)
from billing.http.fields import NothingAsked
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.pagination import NewestFirst
from billing.http.problems import Problem
from billing.http.views import OwnList, account_of
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.webhooks import endpoints
from billing.webhooks.addresses import UrlRefused
from billing.webhooks.endpoints import DeliveryPending, EndpointDisabled, NewEndpoint, TooManyEndpoints

T = TypeVar("T")
ID: Final = OpenApiParameter("id", str, OpenApiParameter.PATH, description="The endpoint's `id`.")
DELIVERY: Final = OpenApiParameter("delivery", str, OpenApiParameter.PATH, description="The delivery's `id`.")


class ById(NewestFirst):
    ordering = ("-pk",)


class _OfWebhooks(Managed):
    refused_detail = "This key may not look at webhooks or change them: log in, or use a key of scope manage."


@extend_schema_view(get=extend_schema("listWebhooks", responses={200: EndpointSerializer(many=True)} | FORBIDDEN))
class EndpointList(_OfWebhooks, OwnList):
    """Where messages about your account are sent, newest first."""

    model = WebhookEndpoint
    serializer_class = EndpointSerializer
    pagination_class = ById

    def rows_of(self, account: int) -> QuerySet[WebhookEndpoint]:
        return endpoints.endpoints_of(account)

    @extend_schema(
        "createWebhook",
        extensions=IDEMPOTENT,
        request=NewEndpointRequest,
        responses={201: NewEndpointSerializer} | problem(400, "too_many_endpoints") | FORBIDDEN,
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Add an endpoint, five at most. Its secret is shown once, in this answer."""
        now = timezone.now()
        return idempotent(request, now, lambda: _create(request, now), secret="secret")


class EndpointDetail(_OfWebhooks):
    """One of your endpoints."""

    @extend_schema("getWebhook", parameters=[ID], responses={200: EndpointSerializer} | FORBIDDEN)
    def get(self, request: Request, id: str, **_: Any) -> Response:
        return Response(EndpointSerializer(_own(request, id)).data)

    @extend_schema(
        "changeWebhook",
        extensions=IDEMPOTENT,
        parameters=[ID],
        request=EndpointChangeRequest,
        responses={200: EndpointSerializer} | FORBIDDEN,
    )
    def patch(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Give it another address or other types, disable it, or enable it again."""
        now = timezone.now()
        return idempotent(request, now, lambda: _change(request, id, now))

    @extend_schema(
        "deleteWebhook",
        extensions=IDEMPOTENT,
        parameters=[ID],
        request=None,
        responses={204: None} | FORBIDDEN,
    )
    def delete(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Delete it, with its deliveries."""
        return idempotent(request, timezone.now(), lambda: _delete(request, id))


class EndpointRotation(_OfWebhooks):
    """Another secret in the place of one."""

    @extend_schema(
        "rotateWebhook",
        extensions=IDEMPOTENT,
        parameters=[ID],
        request=None,
        responses={201: NewEndpointSerializer} | FORBIDDEN,
    )
    def post(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Make another secret, shown once. For 24 hours messages are signed with both."""
        now = timezone.now()
        return idempotent(request, now, lambda: _rotate(request, id, now), secret="secret")


class EndpointPing(_OfWebhooks):
    """A message to try it out."""

    @extend_schema(
        "pingWebhook",
        extensions=IDEMPOTENT,
        parameters=[ID],
        request=None,
        responses={202: DeliverySerializer} | FORBIDDEN | problem(409, "endpoint_disabled"),
    )
    def post(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Send a message of type `ping`. The delivery shows what comes of it."""
        now = timezone.now()
        return idempotent(request, now, lambda: _ping(request, id, now))


@extend_schema_view(
    get=extend_schema("listDeliveries", parameters=[ID], responses={200: DeliverySerializer(many=True)} | FORBIDDEN)
)
class DeliveryList(_OfWebhooks, OwnList):
    """What was sent to an endpoint, newest first, and what came of it. Kept for 30 days."""

    model = WebhookDelivery
    serializer_class = DeliverySerializer
    pagination_class = ById

    def rows_of(self, account: int) -> QuerySet[WebhookDelivery]:
        return endpoints.deliveries_of(_own(self.request, self.kwargs["id"]))


class DeliveryRetry(_OfWebhooks):
    """A delivery, once more."""

    @extend_schema(
        "retryDelivery",
        extensions=IDEMPOTENT,
        parameters=[ID, DELIVERY],
        request=None,
        responses={202: DeliverySerializer} | FORBIDDEN | problem(409, "endpoint_disabled", "delivery_pending"),
    )
    def post(self, request: Request, id: str, delivery: str, **_: Any) -> HttpResponseBase:
        """Send one that has ended again, with the same `webhook-id` and body. Its tries begin anew."""
        now = timezone.now()
        return idempotent(request, now, lambda: _retry(request, id, delivery, now))


def _own(request: Request, id: str) -> WebhookEndpoint:
    with _as_problems():
        return endpoints.endpoints_of(account_of(request)).get(pk=_number(id))


def _create(request: Request, now: datetime) -> Callable[[], Response]:
    """The name is looked up before any transaction."""
    given, account = asked(NewEndpointRequest, request), account_of(request)
    types = given.get("types", [])
    with _as_problems():
        endpoints.check(given["url"], types)
    return _made(lambda: _shown_once(endpoints.create(account, given["url"], types, now)))


def _change(request: Request, id: str, now: datetime) -> Callable[[], Response]:
    given, row = asked(EndpointChangeRequest, request), _own(request, id)
    if "url" in given:
        with _as_problems():
            endpoints.check(given["url"], ())
    return _made(lambda: Response(EndpointSerializer(endpoints.change(row.account_id, row.pk, now, given)).data))


def _delete(request: Request, id: str) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def make() -> Response:
        endpoints.delete(account_of(request), _number(id))
        return Response(status=204)

    return _made(make)


def _rotate(request: Request, id: str, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)
    return _made(lambda: _shown_once(endpoints.rotate(account_of(request), _number(id), now)))


def _ping(request: Request, id: str, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)
    return _made(lambda: _accepted(endpoints.ping(account_of(request), _number(id), now)))


def _retry(request: Request, id: str, delivery: str, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)
    account = account_of(request)
    return _made(lambda: _accepted(endpoints.send_again(account, _number(id), _number(delivery), now)))


def _shown_once(new: NewEndpoint) -> Response:
    return Response({**EndpointSerializer(new.endpoint).data, "secret": new.secret}, status=201)


def _accepted(delivery: WebhookDelivery) -> Response:
    return Response(DeliverySerializer(delivery).data, status=202)


def _made(change: Callable[[], T]) -> Callable[[], T]:
    def make() -> T:
        with _as_problems():
            return change()

    return make


def _number(id: str) -> int:
    """Of what is no id of ours, one that nothing has."""
    return int(id) if id.isdecimal() and id.isascii() else 0


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except (WebhookEndpoint.DoesNotExist, WebhookDelivery.DoesNotExist):
        raise Http404 from None
    except UrlRefused as error:
        raise ValidationError({"url": [to_customer(error)]}) from None
    except TooManyEndpoints as error:
        raise Problem(400, error.code, to_customer(error)) from None
    except (EndpointDisabled, DeliveryPending) as error:
        raise Problem(409, error.code, to_customer(error)) from None
