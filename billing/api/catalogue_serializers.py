"""The catalogue as JSON."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import MoneyField, NumberOrUnlimited
from billing.models import Feature, Plan
from billing.rules.money import in_currency

STARTER = {
    "code": "starter",
    "name": "Starter",
    "price": 29.00,
    "currency": "USD",
    "interval": "month",
    "monthly_token_quota": 500,
    "requests_per_minute": 30,
    "capabilities": ["investigator"],
}
AI_AGENT_QUERY = {
    "code": "ai_agent_query",
    "tokens": 5,
    "capability": "ai_agents",
    "endpoints": ["/api/v1/agent/query"],
}


@extend_schema_serializer(examples=[OpenApiExample("Starter", STARTER)])
class PlanSerializer(serializers.ModelSerializer[Plan]):
    price = serializers.SerializerMethodField()
    monthly_token_quota = NumberOrUnlimited()
    requests_per_minute = NumberOrUnlimited()
    capabilities = serializers.SlugRelatedField("code", many=True, read_only=True)  # type: ignore[var-annotated]

    class Meta:
        model = Plan
        fields = (
            "code",
            "name",
            "price",
            "currency",
            "interval",
            "monthly_token_quota",
            "requests_per_minute",
            "capabilities",
        )
        read_only_fields = fields

    def get_price(self, plan: Plan) -> MoneyField:
        amount: Any = in_currency(plan.price, plan.currency)
        return amount  # type: ignore[no-any-return]


@extend_schema_serializer(examples=[OpenApiExample("ai_agent_query", AI_AGENT_QUERY)])
class FeatureSerializer(serializers.ModelSerializer[Feature]):
    capability = serializers.SlugRelatedField("code", read_only=True, allow_null=True)  # type: ignore[var-annotated]
    endpoints = serializers.SerializerMethodField()

    class Meta:
        model = Feature
        fields = ("code", "tokens", "capability", "endpoints")
        read_only_fields = fields

    def get_endpoints(self, feature: Feature) -> list[str]:
        return sorted({route.path for route in feature.routes.all()})
