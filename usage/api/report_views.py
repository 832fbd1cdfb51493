"""What an account has used: day by day, from sums, and event by event, from the log. Both may lag the drain."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, cast

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from billing.http.pagination import NewestFirst
from billing.http.views import ApiView, account_of
from usage.api.serializers import HistoryEntrySerializer, HistoryQuery, LogEntrySerializer, LogQuery
from usage.models import DailyUsage, UsageLog
from usage.reports.history import HistoryEntry, history


class History(ApiView):
    """Tokens and calls by day or month, from the drain's daily sums; days without calls included."""

    query_fields = frozenset({"from", "to", "granularity"})

    @extend_schema("getUsageHistory", parameters=[HistoryQuery], responses=HistoryEntrySerializer(many=True))
    def get(self, request: Request, **_: Any) -> Response:
        today = timezone.now().date()
        query = HistoryQuery(data=request.query_params, context={"today": today})
        query.is_valid(raise_exception=True)
        first, last = query.validated_data["from"], query.validated_data["to"]
        account = account_of(request)
        rows = DailyUsage.objects.filter(account_id=account, date__range=(first, last)).order_by("date", "feature")
        entries: list[HistoryEntry] = history(
            first,
            last,
            query.validated_data["granularity"],
            ((row.date, row.feature, row.tokens, row.calls) for row in rows),
        )
        return Response(HistoryEntrySerializer(entries, many=True).data)


class LogPages(NewestFirst):
    ordering = ("-charged_at", "-id")


class Logs(ApiView, ListAPIView[UsageLog]):
    """The account's audit events; a void follows its charge's time."""

    query_fields = frozenset({"feature", "from", "to", "cursor", "limit"})
    serializer_class = LogEntrySerializer
    pagination_class = LogPages

    @extend_schema("listUsageLogs", parameters=[LogQuery])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> QuerySet[UsageLog]:
        if getattr(self, "swagger_fake_view", False):
            return UsageLog.objects.none()
        query = LogQuery(data={name: self.request.query_params[name] for name in self._given()})
        query.is_valid(raise_exception=True)
        rows = UsageLog.objects.filter(account=account_of(self.request))
        rows = rows.exclude(kind=UsageLog.Kind.REFUSED)
        given = cast(dict[str, Any], query.validated_data)
        if "feature" in given:
            rows = rows.filter(feature=given["feature"])
        if "from" in given:
            rows = rows.filter(charged_at__gte=_midnight(given["from"]))
        if "to" in given:
            rows = rows.filter(charged_at__lt=_midnight(given["to"]) + timedelta(days=1))
        return rows

    def _given(self) -> set[str]:
        return {"feature", "from", "to"} & set(self.request.query_params)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
