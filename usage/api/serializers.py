"""Usage as JSON, and what the metering endpoints take."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import MoneyField, NumberOrUnlimited, StrictSerializer
from billing.http.overage import OVERAGE, OverageSerializer
from billing.rules.entitlements.suggestion import Kind, Suggestion
from billing.rules.tokens.budgets import Budgets
from usage.api.sentences import reason_of
from usage.log.metadata import fault_of
from usage.metering.call import LONGEST_RUN_NAME, names_a_run

REFUSED_BY = ["feature_not_in_plan", "quota_exceeded", "rate_limited", "budget_exceeded"]
TRACKED = {
    "tokens_used": 5,
    "tokens_total": 90,
    "tokens_remaining": 10,
    "overage": None,
    "quota_exceeded": False,
    "event": "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f",
}
CHECKED = {
    "allowed": True,
    "code": None,
    "cost": 5,
    "tokens_remaining": 10,
    "overage": None,
    "retry_after": None,
}
CURRENT = {
    "tokens_used": 90,
    "quota": 100,
    "tokens_remaining": 10,
    "quota_percentage": 90.0,
    "overage": None,
    "resets_at": "2025-11-01T00:00:00Z",
    "plan": "community",
    "suggestion": None,
    "budgets": [
        {"budget": "tokens_per_day", "limit": 50, "used": 20, "resets_at": "2025-10-17T00:00:00Z"},
    ],
}
CURRENT_ABOVE = CURRENT | {
    "tokens_used": 1250,
    "quota": 1000,
    "tokens_remaining": 0,
    "quota_percentage": 125.0,
    "overage": OVERAGE,
    "plan": "metered",
}
SUGGESTED = {
    "kind": "plan",
    "plan": "starter",
    "reason": "At this pace you will have used 180 tokens by 2025-11-01, and 100 are included. Starter includes 500.",
    "prorated_amount": 14.50,
    "currency": "USD",
    "pack": None,
    "cap_tokens": None,
}
SUGGESTED_PACK = SUGGESTED | {
    "kind": "pack",
    "plan": "community",
    "reason": "At this pace you will have used 180 tokens by 2025-11-01, and 100 are included. "
    "1 × A hundred on top cover it at the least cost.",
    "prorated_amount": 2.00,
    "pack": {"code": "hundred", "count": 1},
}


@extend_schema_field({"type": "object", "additionalProperties": {}})
class MetadataField(serializers.JSONField):
    pass


@extend_schema_serializer(
    examples=[OpenApiExample("A call", {"feature": "ai_agent_query", "metadata": {"conversation": "c-17"}})]
)
class TrackRequest(StrictSerializer):
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")
    metadata = MetadataField(required=False, help_text="A JSON object of at most 4 KB, kept in the usage log.")
    run = serializers.CharField(
        required=False,
        max_length=LONGEST_RUN_NAME,
        help_text="The run of an agent that the call belongs to; its budgets hold for all its calls.",
    )

    def validate_run(self, value: str) -> str:
        if not names_a_run(value):
            raise serializers.ValidationError(f"Give 1 to {LONGEST_RUN_NAME} printable ASCII characters.")
        return value

    def validate_metadata(self, value: Any) -> dict[str, Any]:
        if fault := fault_of(value):
            raise serializers.ValidationError(fault)
        given: dict[str, Any] = value
        return given


@extend_schema_serializer(examples=[OpenApiExample("A call", {"feature": "ai_agent_query"})])
class CheckRequest(StrictSerializer):
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")


class SuggestedPackSerializer(serializers.Serializer[Any]):
    code = serializers.CharField(source="pack.code")
    count = serializers.IntegerField(source="packs", min_value=1)


class SuggestionSerializer(serializers.Serializer[Any]):
    """Of a `Suggestion`; null where the plan suffices, or nothing that can be had now covers the window."""

    kind = serializers.ChoiceField(
        [str(kind) for kind in Kind],
        source="way.kind",
        help_text="Another plan, token packs on top of yours, or a higher cap on tokens above its quota: what costs "
        "least.",
    )
    plan = serializers.CharField(source="way.plan.code", help_text="What you are on then; for packs and overage: now.")
    reason = serializers.SerializerMethodField()
    prorated_amount = MoneyField(
        source="way.amount", help_text="What it costs today, before tax; of overage, by the window's end."
    )
    currency = serializers.CharField(source="way.currency")
    pack = serializers.SerializerMethodField(help_text="Which to buy, and how many; null for another kind.")
    cap_tokens = serializers.IntegerField(
        source="way.cap_tokens", allow_null=True, min_value=1, help_text="The cap to set; null for another kind."
    )

    def get_reason(self, found: Suggestion) -> str:
        return reason_of(found)

    @extend_schema_field(SuggestedPackSerializer(allow_null=True))
    def get_pack(self, found: Suggestion) -> dict[str, Any] | None:
        return dict(SuggestedPackSerializer(found.way).data) if found.way.pack else None


class BudgetSerializer(serializers.Serializer[Any]):
    """What calls with the key may use, within the limits of the account."""

    budget = serializers.ChoiceField(list(Budgets._fields[:3]))
    limit = serializers.IntegerField()
    used = serializers.IntegerField()
    resets_at = serializers.DateTimeField(allow_null=True, help_text="Null of a minute: it slides.")


@extend_schema_serializer(
    examples=[
        OpenApiExample("On community", CURRENT),
        OpenApiExample("A higher plan would cover it", CURRENT | {"suggestion": SUGGESTED}),
        OpenApiExample("A token pack would, for less", CURRENT | {"suggestion": SUGGESTED_PACK}),
        OpenApiExample("Above the quota", CURRENT_ABOVE),
    ]
)
class CurrentUsage(serializers.Serializer[Any]):
    tokens_used = serializers.IntegerField()
    quota = NumberOrUnlimited(help_text="Tokens that cost nothing extra.")
    tokens_remaining = NumberOrUnlimited()
    quota_percentage = serializers.FloatField(help_text="It passes 100 where more is sold.")
    overage = OverageSerializer(allow_null=True)
    resets_at = serializers.DateTimeField()
    plan = serializers.CharField(allow_null=True, help_text="Null where you have none.")
    suggestion = SuggestionSerializer(allow_null=True)
    budgets = BudgetSerializer(many=True, help_text="Of one API key; the plan's included. None for a session.")


@extend_schema_serializer(examples=[OpenApiExample("Charged", TRACKED)])
class TrackResponse(serializers.Serializer[Any]):
    tokens_used = serializers.IntegerField(help_text="What this call cost.")
    tokens_total = serializers.IntegerField(help_text="Used in the window, this call included.")
    tokens_remaining = NumberOrUnlimited()
    overage = OverageSerializer(allow_null=True)
    quota_exceeded = serializers.BooleanField()
    event = serializers.UUIDField(help_text="The audit event; it is what a void names.")


@extend_schema_serializer(examples=[OpenApiExample("It would pass", CHECKED)])
class CheckResponse(serializers.Serializer[Any]):
    allowed = serializers.BooleanField()
    code = serializers.ChoiceField(REFUSED_BY, allow_null=True)
    cost = serializers.IntegerField()
    tokens_remaining = NumberOrUnlimited()
    overage = OverageSerializer(allow_null=True)
    retry_after = serializers.IntegerField(allow_null=True)
