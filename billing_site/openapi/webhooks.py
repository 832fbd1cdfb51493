"""The messages that are sent, as the OpenAPI document's `webhooks` describe them: each type with its body's schema."""

from __future__ import annotations

from typing import Any, Final

from django.utils import translation
from drf_spectacular.utils import OpenApiResponse, OpenApiWebhook, extend_schema, inline_serializer
from rest_framework import serializers

from billing.http.fields import TimeField
from billing.webhooks.types import MEANINGS, TYPES

TAKEN: Final = "Any 2xx takes the message. Everything else is tried again; 410 disables the endpoint."


def _described(type_: str) -> OpenApiWebhook:
    meaning = str(MEANINGS[type_])
    name = "".join(word.capitalize() for word in type_.replace("_", ".").split("."))
    body: Any = inline_serializer(
        f"{name}Message",
        {
            "type": serializers.ChoiceField(choices=[type_]),
            "timestamp": TimeField(help_text="When it happened."),
            "data": TYPES[type_](),
        },
    )
    decorator = extend_schema(
        operation_id=f"on{name}",
        summary=meaning,
        description=f"{meaning} Signed as Standard Webhooks are, by the headers `webhook-id`, "
        "`webhook-timestamp` and `webhook-signature`; see the page on webhooks.",
        tags=["webhooks"],
        request=body,
        responses={"2XX": OpenApiResponse(description=TAKEN)},
    )
    return OpenApiWebhook(type_, decorator)


with translation.override("en"):
    WEBHOOKS: Final = [_described(type_) for type_ in TYPES]
