"""Coupons over HTTP: redeem one, see it, give it up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.api.domain_problems import as_problems, asked
from billing.api.subscriptions.coupon_codes import COUPON_INVALID, guessing
from billing.http.fields import MoneyField, NothingAsked, StrictSerializer, TimeField
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.views import ApiView, account_of
from billing.models import CouponRedemption
from billing.rules.money import in_currency
from billing.subscriptions.coupons import discounts, redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.refusals import NoSubscription

SPRING = {
    "code": "SPRING",
    "name": "Half price in spring",
    "percent": 50.00,
    "amount": None,
    "currency": None,
    "periods": 3,
    "periods_left": 3,
    "plans": ["pro", "business"],
    "redeemed_at": "2025-10-16T09:30:00Z",
    "next_invoice": {"discount": 24.50, "amount": 24.50, "currency": "USD"},
}


@extend_schema_serializer(examples=[OpenApiExample("As customers type it", {"code": "spring"})])
class CouponRequest(StrictSerializer):
    code = serializers.CharField(max_length=50, help_text="In any case.")


class NextInvoice(serializers.Serializer[Any]):
    discount = MoneyField(help_text="0 where the coupon is not for what follows.")
    amount = MoneyField(help_text="As `next_invoice_amount` of the subscription.")
    currency = serializers.CharField()


@extend_schema_serializer(examples=[OpenApiExample("Half the price of three periods", SPRING)])
class CouponResponse(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()
    percent = MoneyField(allow_null=True, help_text="Off the price of a period. Null: an amount is.")
    amount = MoneyField(allow_null=True, help_text="Off the price of a period, at most all of it.")
    currency = serializers.CharField(allow_null=True, help_text="Of the amount: only plans sold in it are discounted.")
    periods = serializers.IntegerField(allow_null=True, help_text="How many billing periods. Null: all.")
    periods_left = serializers.IntegerField(allow_null=True)
    plans = serializers.ListField(
        child=serializers.CharField(), help_text="Codes of the plans whose periods are discounted. Empty: all."
    )
    redeemed_at = TimeField()
    next_invoice = NextInvoice(allow_null=True, help_text="Of your next period. Null: you have no plan.")


class HeldCoupon(serializers.Serializer[Any]):
    coupon = CouponResponse(allow_null=True, help_text="Null: there is none.")


class CouponView(ApiView):
    """The coupon that discounts your next periods; you have one at a time."""

    @extend_schema("getCoupon", responses=HeldCoupon)
    def get(self, request: Request, **_: Any) -> Response:
        """Your coupon, as long as it discounts periods to come."""
        account = account_of(request)
        redemption = discounts.active(account)
        shown = None if redemption is None else _shown(redemption, timezone.now())
        return Response(HeldCoupon({"coupon": shown}).data)

    @extend_schema(
        "redeemCoupon",
        extensions=IDEMPOTENT,
        request=CouponRequest,
        responses={200: CouponResponse} | COUPON_INVALID | problem(403, "forbidden"),
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Redeem a coupon: upgrades and the periods that begin from now on are discounted, as it says.

        Each coupon is redeemed once. Too many unknown codes are 429 for a while.
        """
        now = timezone.now()
        return idempotent(request, now, lambda: _redeem(request, now))

    @extend_schema(
        "giveCouponUp",
        extensions=IDEMPOTENT,
        request=None,
        responses={204: None} | problem(403, "forbidden") | problem(409, "no_coupon"),
    )
    def delete(self, request: Request, **_: Any) -> HttpResponseBase:
        """Give your coupon up, for good: it cannot be redeemed again. What was billed stays."""
        now = timezone.now()
        return idempotent(request, now, lambda: _give_up(request, now))


def _redeem(request: Request, now: datetime) -> Callable[[], Response]:
    given, account = asked(CouponRequest, request), account_of(request)

    def change() -> Response:
        with as_problems(), guessing(account):
            redemption = redeeming.redeem(account, given["code"], now)
        return Response(CouponResponse(_shown(redemption, now)).data)

    return change


def _give_up(request: Request, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def change() -> Response:
        with as_problems():
            redeeming.give_up(account_of(request), now)
        return Response(status=204)

    return change


def _shown(redemption: CouponRedemption, now: datetime) -> dict[str, Any]:
    coupon = redemption.coupon
    return {
        "code": coupon.code,
        "name": coupon.name,
        "percent": coupon.percent,
        "amount": None if coupon.amount is None else in_currency(coupon.amount, coupon.currency),
        "currency": coupon.currency or None,
        "periods": coupon.periods,
        "periods_left": redemption.periods_left,
        "plans": sorted(plan.code for plan in coupon.plans.all()),
        "redeemed_at": redemption.redeemed_at,
        "next_invoice": _next_invoice(redemption.account_id, now),
    }


def _next_invoice(account: int, now: datetime) -> dict[str, Any] | None:
    try:
        current = current_subscription(account, now)
    except NoSubscription:
        return None
    return {
        "discount": current.next_discount,
        "amount": current.next_invoice_amount,
        "currency": current.period.currency,
    }
