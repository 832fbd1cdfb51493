"""Saved cards over HTTP: listed, saved on the provider's page, made the default, removed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db.models import QuerySet
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.domain_problems import asked
from billing.http.fields import NothingAsked, StrictSerializer, TimeField
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.pagination import NewestFirst
from billing.http.problems import Problem
from billing.http.views import ApiView, OwnList, account_of
from billing.models import PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered
from billing.payments.cards.configured import card_gateway

METHOD_ID: Final = OpenApiParameter("id", str, OpenApiParameter.PATH, description="The method's `id`.")
BACK: Final = "/dashboard/payment-methods/back/"
OFF: Final = "No cards are taken here."
AWAY: Final = "The provider of card payments does not answer. Send the request again."
logger = logging.getLogger(__name__)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A card",
            {
                "id": "7",
                "type": "card",
                "brand": "visa",
                "last4": "4242",
                "exp_month": 12,
                "exp_year": 2034,
                "default": True,
                "status": "usable",
                "created_at": "2025-10-16T09:30:00Z",
            },
        )
    ]
)
class PaymentMethodSerializer(serializers.Serializer[Any]):
    """A saved card. Its number is kept by the provider, never here."""

    id = serializers.CharField(source="pk")
    type = serializers.ChoiceField(["card"], default="card")
    brand = serializers.CharField()
    last4 = serializers.CharField()
    exp_month = serializers.IntegerField()
    exp_year = serializers.IntegerField(help_text="The card can be charged to the end of that month.")
    default = serializers.BooleanField(source="is_default", help_text="Charged when an invoice is issued.")
    status = serializers.ChoiceField(
        ["usable", "needs_action"],
        source="state",
        help_text="`needs_action`: its bank wants you to confirm a payment.",
    )
    created_at = TimeField()


@extend_schema_serializer(
    examples=[OpenApiExample("Go on there", {"setup_url": "https://checkout.example.com/c/pay/cs_1"})]
)
class SetUpSerializer(serializers.Serializer[Any]):
    setup_url = serializers.CharField(help_text="The provider's page, in a browser. It can be used for a day.")


@extend_schema_serializer(examples=[OpenApiExample("Make it the default", {"default": True})])
class PaymentMethodChange(StrictSerializer):
    default = serializers.BooleanField(help_text="`true`: another method is the default no more.")

    def validate_default(self, value: bool) -> bool:
        if not value:
            raise serializers.ValidationError("Make another method the default.")
        return value


class MethodPages(NewestFirst):
    ordering = ("-created_at", "-pk")


@extend_schema_view(get=extend_schema("listPaymentMethods"))
class PaymentMethodList(OwnList):
    """Your saved cards, newest first."""

    model = PaymentMethod
    serializer_class = PaymentMethodSerializer
    pagination_class = MethodPages

    def rows_of(self, account: int) -> QuerySet[PaymentMethod]:
        return methods.saved(account)

    @extend_schema(
        "savePaymentMethod",
        extensions=IDEMPOTENT,
        request=None,
        responses={201: SetUpSerializer} | problem(404, "not_found") | problem(503, "unavailable"),
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Begin to save a card: send its owner to `setup_url`. The first one that is saved is the default."""
        now = timezone.now()
        return idempotent(request, now, lambda: _begin(request, now))


class PaymentMethodDetail(ApiView):
    """One of your saved cards."""

    @extend_schema(
        "changePaymentMethod",
        extensions=IDEMPOTENT,
        parameters=[METHOD_ID],
        request=PaymentMethodChange,
        responses={200: PaymentMethodSerializer} | problem(404, "not_found"),
    )
    def patch(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Make it the default."""
        return idempotent(request, timezone.now(), lambda: _make_default(request, id))

    @extend_schema(
        "removePaymentMethod",
        extensions=IDEMPOTENT,
        parameters=[METHOD_ID],
        request=None,
        responses={204: None} | problem(404, "not_found"),
    )
    def delete(self, request: Request, id: str, **_: Any) -> HttpResponseBase:
        """Remove it: it is not charged from now on. Of the others the newest becomes the default where it was."""
        now = timezone.now()
        return idempotent(request, now, lambda: _remove(request, id, now))


def _begin(request: Request, now: datetime) -> Callable[[], Response]:
    """Before any transaction, as the provider is called."""
    asked(NothingAsked, request)
    gateway = card_gateway()
    if gateway is None:
        raise Problem(404, "not_found", OFF)
    back = f"{settings.SITE_URL}{BACK}"
    answer = methods.begin_set_up(gateway, account_of(request), now, done_url=f"{back}?page={{page}}", left_url=back)
    if not isinstance(answer, Answered):
        logger.error("no page to save a card for account %s: %s", account_of(request), answer)
        raise Problem(503, "unavailable", AWAY)
    url = answer.value.url
    return lambda: Response({"setup_url": url}, status=201)


def _make_default(request: Request, id: str) -> Callable[[], Response]:
    asked(PaymentMethodChange, request)

    def make() -> Response:
        try:
            row = methods.make_default(account_of(request), _number(id))
        except PaymentMethod.DoesNotExist:
            raise Http404 from None
        return Response(PaymentMethodSerializer(row).data)

    return make


def _remove(request: Request, id: str, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def make() -> Response:
        try:
            methods.remove(account_of(request), _number(id), now)
        except PaymentMethod.DoesNotExist:
            raise Http404 from None
        return Response(status=204)

    return make


def _number(id: str) -> int:
    """Raises PaymentMethod.DoesNotExist for what is no id of ours."""
    if not id.isdecimal():
        raise PaymentMethod.DoesNotExist
    return int(id)
