"""Tokens above the quota as JSON: the same members wherever an answer tells of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.http.fields import MoneyField
from billing.rules.tokens.overage import Overage, shown_price

OVERAGE = {
    "tokens_used": 250,
    "cap_tokens": 10000,
    "tokens_remaining": 9750,
    "amount": 0.13,
    "currency": "USD",
}


class OverageSerializer(serializers.Serializer[Any]):
    """Of an `Overage`; null where the plan sells none."""

    tokens_used = serializers.IntegerField(min_value=0, source="tokens", help_text="Above the quota, in this window.")
    cap_tokens = serializers.IntegerField(min_value=0, source="terms.cap_tokens", help_text="The most of them.")
    tokens_remaining = serializers.IntegerField(min_value=0, source="left", help_text="Up to the cap.")
    amount = MoneyField(help_text="What they cost up to now; it is invoiced when the billing period has ended.")
    currency = serializers.CharField(source="terms.currency")


class PricedOverageSerializer(OverageSerializer):
    price_per_1000 = serializers.SerializerMethodField(help_text="It may have more decimals than the currency.")

    def get_price_per_1000(self, overage: Overage) -> MoneyField:
        price: Any = shown_price(overage.terms.price, overage.terms.currency)
        return price  # type: ignore[no-any-return]


def shown(overage: Overage | None) -> dict[str, Any] | None:
    """As a member of a problem, which no serializer writes."""
    return None if overage is None else dict(OverageSerializer(overage).data)
