"""Canceling over HTTP: let the subscription end with its period, or keep it after all."""

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
from billing.http.fields import NothingAsked, StrictSerializer
from billing.http.idempotency import idempotent
from billing.http.openapi import IDEMPOTENT, problem
from billing.http.views import ApiView, account_of
from billing.subscriptions import canceling

CANCELED = {
    "message": "Your subscription ends on 2025-10-31.",
    "effective_date": "2025-10-31",
    "then": "community",
}
REFUSED = problem(403, "forbidden") | problem(404, "not_found")


@extend_schema_serializer(examples=[OpenApiExample("With a reason", {"reason": "The project has ended."})])
class CancelRequest(StrictSerializer):
    reason = serializers.CharField(
        max_length=200, required=False, allow_blank=True, default="", help_text="Staff read it."
    )


@extend_schema_serializer(examples=[OpenApiExample("At the period's end", CANCELED)])
class CancelResponse(serializers.Serializer[Any]):
    message = serializers.CharField()
    effective_date = serializers.DateField(help_text="In UTC. Until then everything stays as it is.")
    then = serializers.CharField(allow_null=True, help_text="The plan that follows; null: none does.")


class Cancel(ApiView):
    """The end of your subscription with its present period."""

    @extend_schema(
        "cancelSubscription",
        extensions=IDEMPOTENT,
        request=CancelRequest,
        responses={200: CancelResponse} | REFUSED | problem(409, "nothing_to_cancel"),
    )
    def post(self, request: Request, **_: Any) -> HttpResponseBase:
        """Let the subscription end with its period; the default plan follows. A scheduled change is dropped."""
        now = timezone.now()
        return idempotent(request, now, lambda: _cancel(request, now))

    @extend_schema(
        "keepSubscription",
        extensions=IDEMPOTENT,
        request=None,
        responses={204: None} | REFUSED | problem(409, "nothing_scheduled"),
    )
    def delete(self, request: Request, **_: Any) -> HttpResponseBase:
        """Keep the subscription: it is renewed after all."""
        now = timezone.now()
        return idempotent(request, now, lambda: _keep(request, now))


def _cancel(request: Request, now: datetime) -> Callable[[], Response]:
    given = asked(CancelRequest, request)

    def change() -> Response:
        with as_problems():
            canceled = canceling.cancel(account_of(request), now, given["reason"])
        date = canceled.at.date()
        answer = {
            "message": f"Your subscription ends on {date}.",
            "effective_date": date,
            "then": canceled.then.code if canceled.then else None,
        }
        return Response(CancelResponse(answer).data)

    return change


def _keep(request: Request, now: datetime) -> Callable[[], Response]:
    asked(NothingAsked, request)

    def change() -> Response:
        with as_problems():
            canceling.withdraw(account_of(request), now)
        return Response(status=204)

    return change
