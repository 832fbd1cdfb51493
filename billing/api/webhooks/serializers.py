"""Endpoints and deliveries of webhooks as the HTTP API takes and shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import StrictSerializer, TimeField
from billing.models import WebhookDelivery, WebhookEndpoint
from billing.models.webhooks.endpoints import LONGEST_URL
from billing.webhooks.types import SUBSCRIBABLE, TYPES

EXAMPLE = {
    "id": "7",
    "url": "https://example.com/hooks/billing",
    "types": ["invoice.paid", "subscription.changed"],
    "enabled": True,
    "disabled_reason": None,
    "disabled_at": None,
    "failing_since": None,
    "created_at": "2025-10-16T09:30:00Z",
    "previous_secret_until": None,
}
WHOLE = EXAMPLE | {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="}
DELIVERY = {
    "id": "4711",
    "message": "msg_3f0c9be1a2d84f5e9a71c0d2b3e4",
    "type": "invoice.paid",
    "state": "pending",
    "attempts": 2,
    "next_try_at": "2025-10-16T09:35:05Z",
    "created_at": "2025-10-16T09:30:00Z",
    "ended_at": None,
    "status": 500,
    "error": None,
    "answer": "out of order",
    "tries": [
        {"at": "2025-10-16T09:30:00Z", "status": None, "error": "timeout", "milliseconds": 15000},
        {"at": "2025-10-16T09:30:05Z", "status": 500, "error": None, "milliseconds": 73},
    ],
}
ERRORS = ("timeout", "address", "unknown_host", "connection", "tls", "form", "secret")
ERRORS_HELP = (
    "Why there was no answer: `timeout` (15 s), `address` (it is not public), `unknown_host`, `connection`, `tls`, "
    "`form` (the URL may not be used any more), `secret` (on our side: it cannot be read). Null: there was an answer, "
    "or no try yet."
)
TYPES_HELP = "Types of messages that it gets. Empty: all, also those that come later."


class _Chosen(StrictSerializer):
    url = serializers.CharField(max_length=LONGEST_URL, help_text="By https, to a public address.")
    types = serializers.ListField(
        child=serializers.ChoiceField(choices=SUBSCRIBABLE),
        max_length=len(SUBSCRIBABLE),
        required=False,
        help_text=TYPES_HELP,
    )


@extend_schema_serializer(
    examples=[OpenApiExample("Two types", {name: EXAMPLE[name] for name in ("url", "types")})],
)
class NewEndpointRequest(_Chosen):
    pass


@extend_schema_serializer(examples=[OpenApiExample("Go on after it was disabled", {"enabled": True})])
class EndpointChangeRequest(_Chosen):
    """What is left out stays."""

    url = serializers.CharField(max_length=LONGEST_URL, required=False)
    enabled = serializers.BooleanField(required=False, help_text="False: nothing is sent, and nothing is kept for it.")


class _OrNull(serializers.ChoiceField):
    """An empty text as null."""

    def get_attribute(self, instance: Any) -> Any:
        return super().get_attribute(instance) or None


@extend_schema_serializer(examples=[OpenApiExample("An endpoint", EXAMPLE)])
class EndpointSerializer(serializers.Serializer[Any]):
    """Where messages are sent; its secret is shown when it is made, and never again."""

    id = serializers.CharField(source="pk")
    url = serializers.CharField()
    types = serializers.ListField(child=serializers.ChoiceField(choices=SUBSCRIBABLE), help_text=TYPES_HELP)
    enabled = serializers.BooleanField(source="is_enabled")
    disabled_reason = _OrNull(
        choices=WebhookEndpoint.Reason.values,
        allow_null=True,
        help_text="`owner`: you. `gone`: it answered 410. `failing`: every try failed for five days.",
    )
    disabled_at = TimeField(allow_null=True)
    failing_since = TimeField(allow_null=True, help_text="Since then no try has succeeded. Null: the last one has.")
    created_at = TimeField()
    previous_secret_until = TimeField(
        source="previous_until", allow_null=True, help_text="After a rotation the former secret signs, too, until then."
    )


@extend_schema_serializer(examples=[OpenApiExample("A new endpoint", WHOLE)])
class NewEndpointSerializer(EndpointSerializer):
    secret = serializers.CharField(
        allow_null=True,
        help_text="Verifies messages. Shown once. Null in an answer that is given again under an Idempotency-Key: "
        "where the first one was lost, rotate the secret.",
    )


class TrySerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="When it ended.")
    status = serializers.IntegerField(allow_null=True)
    error = serializers.ChoiceField(choices=ERRORS, allow_null=True)
    milliseconds = serializers.IntegerField()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {**instance, "at": instance["at"].replace("+00:00", "Z"), "error": instance["error"] or None}


@extend_schema_serializer(examples=[OpenApiExample("It is tried again", DELIVERY)])
class DeliverySerializer(serializers.Serializer[Any]):
    """One message to one endpoint."""

    id = serializers.CharField(source="pk")
    message = serializers.CharField(source="message_id", help_text="The `webhook-id`: the same at each try.")
    type = serializers.ChoiceField(source="message.type", choices=list(TYPES))
    state = serializers.ChoiceField(
        choices=WebhookDelivery.State.values, help_text="`dead`: it is tried no more, unless it is sent again."
    )
    attempts = serializers.IntegerField(help_text="Tries since it was made, or sent again.")
    next_try_at = TimeField(allow_null=True, help_text="While a try goes on: when it is given up.")
    created_at = TimeField()
    ended_at = TimeField(allow_null=True)
    status = serializers.IntegerField(allow_null=True, help_text="Of the last answer. 2xx: taken.")
    error = _OrNull(choices=ERRORS, allow_null=True, help_text=ERRORS_HELP)
    answer = serializers.CharField(help_text="How the last answer began, up to 4 KB.")
    tries = TrySerializer(many=True, help_text="The last 20.")
