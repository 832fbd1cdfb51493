"""What an account has used: by feature, day by day, and event by event. The latter two may lag the drain."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, account_of
from usage.api.contract import admission_of
from usage.api.report_serializers import (
    BREAKDOWN,
    BREAKDOWN_SCHEMA,
    HistoryEntrySerializer,
    HistoryQuery,
    LogEntrySerializer,
    LogQuery,
)
from usage.api.views import log_is_behind
from usage.drain import drain
from usage.metering.admission import Admission
from usage.models import UsageLog
from usage.reports.breakdown import breakdown
from usage.reports.history import history
from usage.reports.logs import audit_events


class Breakdown(ApiView):
    """Tokens by feature in the present window, and their sum; every call answered before included."""

    @extend_schema(
        "getUsageBreakdown", responses={200: BREAKDOWN_SCHEMA}, examples=[OpenApiExample("Three features", BREAKDOWN)]
    )
    def get(self, request: Request, **_: Any) -> Response:
        return Response(current_breakdown(admission_of(request)))


def current_breakdown(admission: Admission) -> dict[str, int]:
    """Tokens by feature in the present window, and their `total`. Raises Problem (503) while the log is behind."""
    facts, window = admission.snapshot.facts, admission.snapshot.entitlement.window
    try:
        tokens = breakdown(facts.account, window.start)
    except drain.Behind as error:
        raise log_is_behind(error) from error
    return tokens | {"total": sum(tokens.values())}


class History(ApiView):
    """Tokens and calls by day or month, from the drain's daily sums; days without calls included."""

    query_fields = frozenset({"from", "to", "granularity"})

    @extend_schema("getUsageHistory", parameters=[HistoryQuery], responses=HistoryEntrySerializer(many=True))
    def get(self, request: Request, **_: Any) -> Response:
        query = HistoryQuery(data=request.query_params, context={"today": timezone.now().date()})
        query.is_valid(raise_exception=True)
        given = query.validated_data
        entries = history(account_of(request), given["from"], given["to"], given["granularity"])
        return Response(HistoryEntrySerializer(entries, many=True).data)


class LogPages(NewestFirst):
    ordering = ("-charged_at", "-id")


class Logs(ApiView, ListAPIView[UsageLog]):
    """The account's audit events; a void follows its charge's time."""

    FILTERS = ("feature", "from", "to")
    query_fields = frozenset({*FILTERS, "cursor", "limit"})
    serializer_class = LogEntrySerializer
    pagination_class = LogPages

    @extend_schema("listUsageLogs", parameters=[LogQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[UsageLog]:
        if getattr(self, "swagger_fake_view", False):
            return UsageLog.objects.none()
        parameters = self.request.query_params
        query = LogQuery(data={name: parameters[name] for name in self.FILTERS if name in parameters})
        query.is_valid(raise_exception=True)
        given = cast(dict[str, Any], query.validated_data)
        return audit_events(account_of(self.request), given.get("feature"), given.get("from"), given.get("to"))
