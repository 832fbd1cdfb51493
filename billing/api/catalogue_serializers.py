"""The catalogue as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.fields import SkipField

from billing.http.fields import MoneyField, NumberOrUnlimited, TimeField
from billing.models import Feature, ModelPrice, Plan
from billing.rules.money import in_currency
from billing.rules.plan_change import Available
from billing.rules.tokens.model_prices import PER_TOKEN
from billing.rules.tokens.overage import shown_price
from billing.subscriptions.offers import Offers

STARTER = {
    "code": "starter",
    "name": "Starter",
    "price": 29.00,
    "currency": "USD",
    "interval": "month",
    "trial_days": 0,
    "monthly_token_quota": 500,
    "requests_per_minute": 30,
    "overage": None,
    "capabilities": ["investigator"],
}
AI_AGENT_QUERY = {
    "code": "ai_agent_query",
    "tokens": 5,
    "capability": "ai_agents",
    "endpoints": ["/api/v1/agent/query"],
}

M_LARGE = {
    "model": "m-large",
    "feature": "ai_agent_query",
    "tokens_per_1000": {"input": 2, "cache_read": 0.1, "cache_write": 2.5, "output": 8},
    "fixed": 0,
    "valid_from": "2026-01-01T00:00:00Z",
}


@extend_schema_field({"type": ["string", "null"], "enum": [*(str(way) for way in Available), None]})
class AvailableField(serializers.Field[Any, Any, Any, Any]):
    """How the caller gets a plan, by the context's `offers`; left out of the plan where there are none."""

    def __init__(self) -> None:
        about = "How you get it; only where you are known. Null: you are on it, or it is not on sale."
        super().__init__(source="*", required=False, help_text=about)

    def get_attribute(self, instance: Plan) -> Plan:
        if "offers" not in self.context:
            raise SkipField
        return instance

    def to_representation(self, plan: Plan) -> str | None:
        offers: Offers = self.context["offers"]
        way = offers.available(plan)
        return str(way) if way else None


class PlanOverageSerializer(serializers.Serializer[Any]):
    """Of a plan that sells tokens above its quota."""

    price_per_1000 = serializers.SerializerMethodField(help_text="It may have more decimals than the currency.")
    cap_tokens = serializers.IntegerField(
        min_value=0, source="overage_cap_tokens", help_text="The most of them in a usage window, unless you set a cap."
    )

    def get_price_per_1000(self, plan: Plan) -> MoneyField:
        assert plan.overage_price is not None
        price: Any = shown_price(plan.overage_price, plan.currency)
        return price  # type: ignore[no-any-return]


@extend_schema_serializer(
    examples=[
        OpenApiExample("Starter", STARTER),
        OpenApiExample("For a caller who is known", STARTER | {"available": "now"}),
    ]
)
class PlanSerializer(serializers.ModelSerializer[Plan]):
    price = serializers.SerializerMethodField()
    monthly_token_quota = NumberOrUnlimited()
    requests_per_minute = NumberOrUnlimited()
    overage = serializers.SerializerMethodField(help_text="How tokens above the quota are sold; null: not at all.")
    capabilities = serializers.SlugRelatedField("code", many=True, read_only=True)  # type: ignore[var-annotated]
    available = AvailableField()

    class Meta:
        model = Plan
        fields = (
            "code",
            "name",
            "price",
            "currency",
            "interval",
            "trial_days",
            "monthly_token_quota",
            "requests_per_minute",
            "overage",
            "capabilities",
            "available",
        )
        read_only_fields = fields

    @extend_schema_field(PlanOverageSerializer(allow_null=True))
    def get_overage(self, plan: Plan) -> dict[str, Any] | None:
        return None if plan.overage_price is None else dict(PlanOverageSerializer(plan).data)

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


@extend_schema_field({"type": "number", "minimum": 0})
class RateField(serializers.Field[Any, Any, Any, Any]):
    """Thousandths of a token, given in tokens."""

    def to_representation(self, value: int) -> Decimal:
        return (Decimal(value) / PER_TOKEN).normalize() + 0


class RatesSerializer(serializers.Serializer[Any]):
    """Tokens for 1,000 units of each kind. Units are disjoint."""

    input = RateField(help_text="Read from no cache.")
    cache_read = RateField()
    cache_write = RateField()
    output = RateField(help_text="Reasoning is among it.")


@extend_schema_serializer(examples=[OpenApiExample("m-large", M_LARGE)])
class ModelPriceSerializer(serializers.ModelSerializer[ModelPrice]):
    feature = serializers.SlugRelatedField("code", read_only=True)  # type: ignore[var-annotated]
    tokens_per_1000 = RatesSerializer(source="*", read_only=True)
    fixed = RateField(help_text="Tokens for each call, whatever its units.")
    valid_from = TimeField(help_text="Since when the price holds.")

    class Meta:
        model = ModelPrice
        fields = ("model", "feature", "tokens_per_1000", "fixed", "valid_from")
        read_only_fields = fields
