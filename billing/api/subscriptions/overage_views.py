"""The customer's own cap on tokens above the quota."""

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
from billing.http.fields import StrictSerializer
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.overage import OVERAGE
from billing.http.views import ApiView, account_of
from billing.subscriptions.overage import cap
from ratelimit.limits import LARGEST_NUMBER

CAPPED = {"message": "At most 10,000 tokens above the quota are sold.", "cap_tokens": 10000}


@extend_schema_serializer(
    examples=[
        OpenApiExample("At most 10,000 tokens above the quota", {"cap_tokens": OVERAGE["cap_tokens"]}),
        OpenApiExample("A hard stop", {"cap_tokens": 0}),
        OpenApiExample("The plan's own", {"cap_tokens": None}),
    ]
)
class CapRequest(StrictSerializer):
    cap_tokens = serializers.IntegerField(
        min_value=0,
        max_value=LARGEST_NUMBER,
        allow_null=True,
        help_text="The most tokens above the quota in a usage window. 0: none; null: the plan's own cap.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("Set", {"message": "At most 10,000 tokens above the quota are sold.", "cap_tokens": 10000})
    ]
)
class CapResponse(serializers.Serializer[Any]):
    message = serializers.CharField()
    cap_tokens = serializers.IntegerField(min_value=0, help_text="What holds from the next call on.")


class OverageCap(ApiView):
    """How many tokens above your quota are sold to you."""

    @extend_schema(
        "setOverageCap",
        extensions=IDEMPOTENT,
        request=CapRequest,
        responses={200: CapResponse}
        | problem(403, "forbidden")
        | problem(404, "not_found")
        | problem(409, "no_overage"),
    )
    def put(self, request: Request, **_: Any) -> HttpResponseBase:
        """Set your cap on tokens above the quota. It acts on the next call, and stays when you change your plan."""
        now = timezone.now()
        return idempotent(request, now, lambda: _set_cap(request, now))


def _set_cap(request: Request, now: datetime) -> Callable[[], Response]:
    given = asked(CapRequest, request)

    def change() -> Response:
        with as_problems():
            subscription = cap.set_cap(account_of(request), given["cap_tokens"], now)
        holds = subscription.overage_cap
        message = f"At most {holds:,} tokens above the quota are sold." if holds else "Your quota is the end."
        return Response(CapResponse({"message": message, "cap_tokens": holds}).data)

    return change
