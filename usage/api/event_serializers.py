"""What `POST /usage/events` takes and answers, for the OpenAPI document; `event_reading` reads what comes in."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from billing.http.fields import StrictSerializer, TimeField
from usage.api.serializers import MetadataField
from usage.ingest.reported import LONGEST_NAME, Reason

MOST_EVENTS = 1_000
"""In a batch."""
INVALID = "invalid"
"""The code of an event that cannot be read; those of the others are Reason's."""
ACCOUNT_SCHEMA = {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]{1,19}$"}]}
EVENT = {
    "id": "req-8f14e45f",
    "time": "2025-10-16T12:00:00Z",
    "feature": "ai_agent_query",
    "account": 71,
    "metadata": {"region": "eu"},
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "req-8f14e45f",
    "source": "/inference/eu-1",
    "time": "2025-10-16T12:00:00Z",
    "subject": "71",
    "type": "ai_agent_query",
    "data": {"region": "eu"},
}
REJECTED = {"index": 7, "id": "req-81", "code": "unknown_feature", "detail": "There is no such feature."}


@extend_schema_field(ACCOUNT_SCHEMA)
class AccountField(serializers.Field[int, Any, int, Any]):
    pass


class EventSerializer(StrictSerializer):
    id = serializers.CharField(
        max_length=LONGEST_NAME, help_text="Yours: an event that comes again under it is a duplicate. Printable."
    )
    time = TimeField(required=False, help_text="When it happened; without it: now.")
    feature = serializers.CharField(max_length=50, help_text="A feature's code.")
    account = AccountField(required=False, help_text="Whose usage it is; without it: the account of your key.")
    metadata = MetadataField(required=False, help_text="A JSON object of at most 4 KB, kept in the usage log.")


@extend_schema_serializer(examples=[OpenApiExample("Two calls", {"events": [EVENT, EVENT | {"id": "req-e4da3b7f"}]})])
class EventsRequest(StrictSerializer):
    events = EventSerializer(many=True, help_text="At most 1,000.")


_NAME = {"type": "string", "minLength": 1, "maxLength": LONGEST_NAME}
CLOUD_EVENT_SCHEMA = {
    "type": "object",
    "description": "A CloudEvent 1.0. Attributes that are not named here are not kept.",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {**_NAME, "description": "Known together with its source."},
        "source": _NAME,
        "time": {"type": "string", "format": "date-time"},
        "type": {"type": "string", "description": "A feature's code."},
        "subject": {"type": "string", "description": "The account's number; without it: that of your key."},
        "data": {"type": "object", "description": "At most 4 KB, kept in the usage log."},
    },
    "required": ["specversion", "id", "source", "type"],
    "example": CLOUD_EVENT,
}
CLOUD_EVENTS_SCHEMA = {"type": "array", "items": CLOUD_EVENT_SCHEMA, "maxItems": MOST_EVENTS}


class RejectedEventSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0, help_text="Its place in the batch, from 0.")
    id = serializers.CharField(allow_null=True, help_text="Null where it has none that is valid.")
    code = serializers.ChoiceField([INVALID, *Reason])
    detail = serializers.CharField()


@extend_schema_serializer(
    examples=[
        OpenApiExample("One is wrong", {"accepted": 998, "duplicates": 1, "rejected": [REJECTED], "over_quota": [71]})
    ]
)
class EventsResponse(serializers.Serializer[Any]):
    accepted = serializers.IntegerField(min_value=0)
    duplicates = serializers.IntegerField(min_value=0, help_text="Those that were recorded before, also in this batch.")
    rejected = RejectedEventSerializer(many=True, help_text="The others are recorded all the same.")
    over_quota = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="Accounts of the batch that have used more of their present window than their quota.",
    )
