"""Token packs over HTTP: what is on sale, and buying one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_serializer,
    extend_schema_view,
)
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.domain_problems import as_problems, asked
from billing.entitlements import token_packs
from billing.http.fields import MoneyField, NothingAsked, TimeField
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, account_of
from billing.models import TokenPack
from billing.rules.money import in_currency

PACK = {"code": "thousand", "name": "A thousand", "tokens": 1000, "price": 9.00, "currency": "USD", "valid_days": 30}
BOUGHT = {"invoice": "INV-000042", "tokens": 1000, "valid_until": "2025-11-01T00:00:00Z", "active": True}


@extend_schema_serializer(examples=[OpenApiExample("A thousand", PACK)])
class TokenPackSerializer(serializers.ModelSerializer[TokenPack]):
    price = serializers.SerializerMethodField()
    valid_days = serializers.IntegerField(
        allow_null=True, help_text="From when they count. Null: until the usage window ends."
    )

    class Meta:
        model = TokenPack
        fields = ("code", "name", "tokens", "price", "currency", "valid_days")
        read_only_fields = fields

    def get_price(self, pack: TokenPack) -> MoneyField:
        amount: Any = in_currency(pack.price, pack.currency)
        return amount  # type: ignore[no-any-return]


@extend_schema_serializer(examples=[OpenApiExample("That counts at once", BOUGHT)])
class BoughtResponse(serializers.Serializer[Any]):
    invoice = serializers.CharField(allow_null=True, help_text="Its number. Null: the pack costs nothing.")
    tokens = serializers.IntegerField()
    valid_until = TimeField(allow_null=True, help_text="Where they lapse. Null: they do not count yet.")
    active = serializers.BooleanField(help_text="They count. Otherwise they do once the invoice is paid.")


class PackPages(NewestFirst):
    ordering = ("-created_at", "pk")


@extend_schema_view(get=extend_schema("listTokenPacks"))
class TokenPackList(ApiView, ListAPIView[TokenPack]):
    """The token packs on sale."""

    query_fields = frozenset({"cursor", "limit"})
    serializer_class = TokenPackSerializer
    pagination_class = PackPages

    def get_queryset(self) -> QuerySet[TokenPack]:
        return TokenPack.objects.filter(is_on_sale=True)


class TokenPackPurchases(ApiView):
    """Tokens on top of your quota."""

    @extend_schema(
        "buyTokenPack",
        extensions=IDEMPOTENT,
        parameters=[OpenApiParameter("code", str, OpenApiParameter.PATH, description="Such as `thousand`.")],
        request=None,
        responses={201: BoughtResponse}
        | problem(403, "forbidden")
        | problem(404, "not_found")
        | problem(409, "nothing_to_top_up"),
    )
    def post(self, request: Request, code: str, **_: Any) -> HttpResponseBase:
        """Buy a token pack: it is invoiced now. Its tokens belong to the usage window in which they begin to count.

        They are spent before the plan's own, those that lapse first before the others.
        """
        now = timezone.now()
        return idempotent(request, now, lambda: _buy(request, code, now))


def _buy(request: Request, code: str, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)
    pack = get_object_or_404(TokenPack, code=code, is_on_sale=True)

    def change() -> Response:
        with as_problems():
            bought = token_packs.buy(account_of(request), pack, now)
        answer = {
            "invoice": bought.invoice.number if bought.invoice else None,
            "tokens": bought.purchase.tokens,
            "valid_until": bought.valid_until,
            "active": bought.purchase.activated_at is not None,
        }
        return Response(BoughtResponse(answer).data, status=201)

    return change
