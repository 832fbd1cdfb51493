"""API keys as the HTTP API takes and shows them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from billing.entitlements.api_keys import CUSTOMERS_SCOPES, LONGEST_OVERLAP
from billing.http.fields import StrictSerializer, TimeField
from billing.models import ApiKey
from billing.models.entitlements.budgets import LARGEST, terms_of
from billing.rules.tokens.budgets import Budgets

LONGEST_NAME = 50
EXAMPLE = {
    "id": "Zk3nQ8vT",
    "name": "production",
    "prefix": "mk_live_Zk3nQ8vT",
    "scope": "",
    "status": "valid",
    "created_at": "2025-10-16T09:30:00Z",
    "last_used_at": None,
    "expires_at": "2026-01-14T00:00:00Z",
    "limits": {
        "requests_per_minute": None,
        "tokens_per_day": 5000,
        "tokens_per_month": None,
        "tokens_per_run": None,
        "calls_per_run": 200,
        "open_per_run": None,
        "repeats_per_run": None,
    },
}
WHOLE = EXAMPLE | {"key": "mk_live_Zk3nQ8vT.v1Nf0cGqUu2SgXoJ7rTjWb5eYdHk9LmAa4c0ffee1234"}
MEANING = {
    "requests_per_minute": "In any 60 seconds.",
    "tokens_per_day": "A day in UTC.",
    "tokens_per_month": "A calendar month in UTC.",
    "tokens_per_run": "Of all calls that name one run (`Usage-Run`).",
    "calls_per_run": "Of one run; failed ones count, too.",
    "open_per_run": "Reservations of one run that are open at once.",
    "repeats_per_run": "How often the same request may come in a row in one run; the next is refused as a loop.",
}


class LimitsField(StrictSerializer):
    """What calls with the key may use, within the limits of the account. What is left out stays; null: no limit."""

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        return {
            name: serializers.IntegerField(
                min_value=0, max_value=LARGEST[name], allow_null=True, required=False, help_text=MEANING[name]
            )
            for name in Budgets._fields
        }


class _Named(StrictSerializer):
    name = serializers.CharField(max_length=LONGEST_NAME, help_text="For you: where the key is used.")
    expires_at = TimeField(required=False, allow_null=True, help_text="In the future, within 1,000 years. Null: never.")
    limits = LimitsField(required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample("For three months", {"name": "production", "expires_at": "2026-01-14T00:00:00Z"}),
        OpenApiExample("For an agent", {"name": "agent", "limits": {"tokens_per_day": 5000, "calls_per_run": 200}}),
    ]
)
class NewKeyRequest(_Named):
    scope = serializers.ChoiceField(
        choices=sorted(CUSTOMERS_SCOPES),
        required=False,
        default="",
        help_text="`manage`: it may make, rotate and revoke keys, too.",
    )


@extend_schema_serializer(examples=[OpenApiExample("Another name", {"name": "staging"})])
class KeyChangeRequest(_Named):
    """What is left out stays."""

    name = serializers.CharField(max_length=LONGEST_NAME, required=False)


@extend_schema_serializer(examples=[OpenApiExample("An hour to change over", {"overlap_seconds": 3600})])
class RotationRequest(StrictSerializer):
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(LONGEST_OVERLAP.total_seconds()),
        help_text="So long the present key goes on, at most until it expires. 0: it is revoked at once.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {"overlap": timedelta(seconds=attrs["overlap_seconds"])}


@extend_schema_serializer(examples=[OpenApiExample("A key", EXAMPLE)])
class KeySerializer(serializers.Serializer[Any]):
    """What is known of a key; the key itself is kept nowhere."""

    id = serializers.CharField()
    name = serializers.CharField()
    prefix = serializers.CharField(source="beginning", help_text="What the key begins with.")
    scope = serializers.ChoiceField(choices=ApiKey.Scope.values, help_text='"": calls, and no more.')
    status = serializers.SerializerMethodField()
    created_at = TimeField(source="created")
    last_used_at = TimeField(allow_null=True, help_text="Late by up to a minute. Null: not yet.")
    expires_at = TimeField(source="expiry_date", allow_null=True)
    limits = serializers.SerializerMethodField(
        help_text="The key's own; where the plan bounds each key, too, the smaller holds."
    )

    @extend_schema_field({"type": "string", "enum": ApiKey.State.values})
    def get_status(self, key: ApiKey) -> str:
        return key.state(timezone.now()).value

    @extend_schema_field(LimitsField)
    def get_limits(self, key: ApiKey) -> dict[str, int | None]:
        return terms_of(key)._asdict()


@extend_schema_serializer(examples=[OpenApiExample("A new key", WHOLE)])
class NewKeySerializer(KeySerializer):
    key = serializers.CharField(
        allow_null=True,
        help_text="Shown once. Null in an answer that is given again under an Idempotency-Key: where the first one was "
        "lost, rotate the key.",
    )
