"""Reservations as JSON, and what their endpoints take."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from billing.api.sentences import to_customer
from billing.http.fields import NumberOrUnlimited, StrictSerializer
from billing.rules.tokens import model_prices
from billing.rules.tokens.model_prices import MOST_TOKENS, UNITS, WrongUnits
from usage.log.reservation_facts import OPEN
from usage.metering.call import LONGEST_RUN_NAME
from usage.metering.reservations.ends import COMPLETE, OUTCOMES
from usage.metering.reservations.opening import LIFE_SECONDS, LONGEST_LIFE_SECONDS
from usage.metering.reservations.standing import expiries
from usage.models import Reservation

ID = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"


@extend_schema_field(
    {
        "type": "object",
        "properties": {name: {"type": ["integer", "null"], "minimum": 0} for name in UNITS},
        "additionalProperties": False,
    }
)
class UnitsField(serializers.JSONField):
    """Disjoint numbers of units; null: not reported, 0: reported as zero."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Give a JSON object of input, cache_read, cache_write and output.")
        try:
            return model_prices.read_units(data)
        except WrongUnits as error:
            raise serializers.ValidationError(to_customer(error)) from error


class ShownUnits(UnitsField):
    """Null also where it was told in tokens."""

    def to_representation(self, value: Any) -> Any:
        return None if "tokens" in value else value


class _Amount(StrictSerializer):
    """Units of a model, or tokens."""

    units = UnitsField(required=False, help_text="Units: input (uncached), cache_read, cache_write, output.")
    tokens = serializers.IntegerField(
        required=False, min_value=0, max_value=MOST_TOKENS, help_text="Instead of units, where no model has a price."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "units" in attrs and "tokens" in attrs:
            raise serializers.ValidationError({"tokens": ["Give units or tokens, not both."]})
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Units of a model",
            {"feature": "ai_agent_query", "model": "m-large", "units": {"input": 1200, "output": 800}, "run": "r-81"},
        ),
        OpenApiExample("Tokens", {"feature": "ai_agent_query", "tokens": 9, "expires_in": 60}),
    ]
)
class ReserveRequest(_Amount):
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")
    model = serializers.CharField(max_length=100, required=False, help_text="A model with a price at the feature.")
    run = serializers.RegexField(
        r"^[ -~]+\Z",
        max_length=LONGEST_RUN_NAME,
        required=False,
        trim_whitespace=False,
        help_text="Names the agent's run: printable ASCII.",
    )
    parent = serializers.UUIDField(  # type: ignore[assignment] # the name that serializers have for theirs
        required=False, allow_null=True, help_text="The reservation that this one draws from, instead of the quota."
    )
    expires_in = serializers.IntegerField(
        required=False,
        default=LIFE_SECONDS,
        min_value=1,
        max_value=LONGEST_LIFE_SECONDS,
        help_text="Seconds until it expires; a heartbeat prolongs it by as much.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "units" not in attrs and "tokens" not in attrs:
            raise serializers.ValidationError({"units": ["Give the units it may use at most, or tokens."]})
        if ("units" in attrs) != bool(attrs.get("model")):
            raise serializers.ValidationError({"model": ["Units are priced by a model: give both, or tokens alone."]})
        return attrs


@extend_schema_serializer(examples=[OpenApiExample("So far", {"units": {"input": 1200, "output": 250}})])
class HeartbeatRequest(_Amount):
    expires_in = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LONGEST_LIFE_SECONDS,
        help_text="Seconds; as it was asked for, by default.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if "units" not in attrs and "tokens" not in attrs:
            raise serializers.ValidationError({"units": ["Give what was used so far: units, or tokens."]})
        return attrs


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "As the provider reported",
            {"units": {"input": 300, "cache_read": 900, "cache_write": 0, "output": 412}, "outcome": "complete"},
        ),
        OpenApiExample("Nobody has reported any", {"outcome": "failed"}),
    ]
)
class SettleRequest(_Amount):
    outcome = serializers.ChoiceField(OUTCOMES, required=False, default=COMPLETE)
    estimated = serializers.BooleanField(required=False, default=False, help_text="The units are your own estimate.")


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "Nine tokens are held",
            {
                "reservation": ID,
                "tokens_reserved": 9,
                "expires_at": "2025-11-01T00:05:00Z",
                "tokens_remaining": 91,
            },
            response_only=True,
        )
    ]
)
class ReservedResponse(serializers.Serializer[Any]):
    reservation = serializers.UUIDField()
    tokens_reserved = serializers.IntegerField(help_text="What it holds.")
    expires_at = serializers.DateTimeField()
    tokens_remaining = NumberOrUnlimited(help_text="Of the quota; what is reserved is used as long as it is held.")


class SettledResponse(serializers.Serializer[Any]):
    state = serializers.ChoiceField(Reservation.State.choices)
    tokens_charged = serializers.IntegerField()
    tokens_released = serializers.IntegerField(help_text="Held, and given back.")
    tokens_uncollected = serializers.IntegerField(help_text="Used above what the quota had: nobody pays them.")
    tokens_remaining = NumberOrUnlimited()


class ReservationQuery(serializers.Serializer[Any]):
    """The filters of the list."""

    state = serializers.ChoiceField(Reservation.State.choices, required=False)
    run = serializers.CharField(required=False, max_length=LONGEST_RUN_NAME, trim_whitespace=False)


class ReservationSerializer(serializers.ModelSerializer[Reservation]):
    reservation = serializers.UUIDField(source="id")
    parent = serializers.UUIDField(source="parent_id", allow_null=True)  # type: ignore[assignment]
    units = ShownUnits(allow_null=True, help_text="As they were reserved; once it is settled, as they were used.")
    tokens_reserved = serializers.IntegerField(source="bound")
    tokens_charged = serializers.IntegerField(source="charged", allow_null=True)
    tokens_uncollected = serializers.IntegerField(source="uncollected", allow_null=True)

    class Meta:
        model = Reservation
        fields = (
            "reservation",
            "feature",
            "model",
            "run",
            "parent",
            "state",
            "units",
            "tokens_reserved",
            "tokens_charged",
            "tokens_uncollected",
            "estimated",
            "outcome",
            "opened_at",
            "expires_at",
            "finished_at",
        )
        read_only_fields = fields

    def to_representation(self, instance: Reservation) -> dict[str, Any]:
        """Of an open one, heartbeats say until when it lives, and Redis alone knows of those."""
        if instance.state == OPEN:
            instance.expires_at = expiries([instance])[instance.pk]
        return super().to_representation(instance)
