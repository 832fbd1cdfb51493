"""What the reports take and answer: the history by day or month, and the log."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from billing.http.fields import StrictDateField
from usage.models import UsageLog
from usage.reports.history import DAY, MONTH, MOST_DAYS

BREAKDOWN = {"trace_start": 50, "ai_agent_query": 25, "graph_query": 15, "total": 90}
BREAKDOWN_SCHEMA = {
    "type": "object",
    "description": "Tokens by feature, and their sum.",
    "properties": {"total": {"type": "integer", "minimum": 0}},
    "additionalProperties": {"type": "integer", "minimum": 0},
    "required": ["total"],
}


class HistoryQuery(serializers.Serializer[Any]):
    """The query of `/usage/history`; the last 30 days by default."""

    to = StrictDateField(required=False, help_text="Last date, included; today by default.")
    granularity = serializers.ChoiceField([DAY, MONTH], default=DAY)

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        # `from` is a keyword, so it cannot stand as an attribute.
        first = StrictDateField(required=False, help_text="First date, included; 29 days before `to` by default.")
        return {"from": first, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        last = attrs.get("to") or self.context["today"]
        try:
            first = attrs.get("from") or last - timedelta(days=29)
        except OverflowError:
            raise serializers.ValidationError({"to": ["Give a later date."]}) from None
        if first > last:
            raise serializers.ValidationError({"from": ["Must not be later than `to`."]})
        if (last - first).days + 1 > MOST_DAYS:
            raise serializers.ValidationError({"from": [f"At most {MOST_DAYS} days can be asked for at once."]})
        return attrs | {"from": first, "to": last}


class HistoryEntrySerializer(serializers.Serializer[Any]):
    date = serializers.DateField()
    tokens = serializers.IntegerField()
    calls = serializers.IntegerField()
    features = serializers.DictField(child=serializers.IntegerField(), help_text="Tokens by feature.")


class LogQuery(serializers.Serializer[Any]):
    """The filters of `/usage/logs`."""

    feature = serializers.CharField(required=False, max_length=50)
    to = StrictDateField(required=False, help_text="Last date of the call, included.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            "from": StrictDateField(required=False, help_text="First date of the call."),
            **super().get_fields(),
        }

    def validate_to(self, value: date) -> date:
        if value == date.max:
            raise serializers.ValidationError("Give an earlier date.")
        return value


@extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
class KeptMetadataField(serializers.JSONField):
    """What `/usage/track` was given, and the call's run as `usage_run`; null where there is neither."""


class LogEntrySerializer(serializers.ModelSerializer[UsageLog]):
    event = serializers.UUIDField(source="event_id", help_text="The charge; a void has that of its charge.")
    metadata = KeptMetadataField()

    class Meta:
        model = UsageLog
        fields = ("event", "feature", "tokens", "kind", "metadata", "created_at")
        read_only_fields = fields
