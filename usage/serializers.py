"""Usage as JSON, and what the metering endpoints take."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from billing.api import NumberOrUnlimited, StrictSerializer

LARGEST_METADATA = 4096


class TrackRequest(StrictSerializer):
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")
    metadata = serializers.JSONField(required=False, help_text="A JSON object of at most 4 KB, kept in the usage log.")

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise serializers.ValidationError("Give a JSON object.")
        try:
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            size = len(text.encode())
        except (UnicodeError, RecursionError):
            raise serializers.ValidationError("Give text that is valid Unicode, and no deep nesting.") from None
        if size > LARGEST_METADATA:
            raise serializers.ValidationError(f"At most {LARGEST_METADATA} bytes of JSON; these are {size}.")
        if "\\u0000" in text:
            raise serializers.ValidationError("A text may not contain the character NUL.")
        return value


class CheckRequest(StrictSerializer):
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")


class SuggestionSerializer(serializers.Serializer[Any]):
    plan = serializers.CharField()
    reason = serializers.CharField()
    prorated_amount = serializers.FloatField()
    currency = serializers.CharField()


class CurrentUsage(serializers.Serializer[Any]):
    tokens_used = serializers.IntegerField()
    quota = NumberOrUnlimited()
    tokens_remaining = NumberOrUnlimited()
    quota_percentage = serializers.FloatField()
    resets_at = serializers.DateTimeField()
    plan = serializers.CharField()
    suggestion = SuggestionSerializer(allow_null=True)


class TrackResponse(serializers.Serializer[Any]):
    tokens_used = serializers.IntegerField(help_text="What this call cost.")
    tokens_total = serializers.IntegerField(help_text="Used in the window, this call included.")
    tokens_remaining = NumberOrUnlimited()
    quota_exceeded = serializers.BooleanField()
    event = serializers.UUIDField(help_text="The audit event; it is what a void names.")


class CheckResponse(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    code = serializers.ChoiceField(["feature_not_in_plan", "quota_exceeded", "rate_limited"], allow_null=True)
    cost = serializers.IntegerField()
    tokens_remaining = NumberOrUnlimited()
    retry_after = serializers.IntegerField(allow_null=True)
