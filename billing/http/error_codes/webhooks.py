"""Webhook endpoints, and what is sent to them."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ErrorCode

OF_WEBHOOKS: Final = (
    ErrorCode(
        "too_many_endpoints",
        400,
        "The account has as many webhook endpoints as it may have.",
        "Delete one with `DELETE /api/v1/webhooks/{id}`.",
    ),
    ErrorCode(
        "endpoint_disabled",
        409,
        "Nothing is sent to a webhook endpoint that is disabled.",
        'Enable it with `PATCH /api/v1/webhooks/{id}` and `{"enabled": true}`.',
    ),
    ErrorCode(
        "delivery_pending",
        409,
        "The webhook is still being tried.",
        "There is nothing to do: `next_try_at` says when. It can be sent again once its tries have ended.",
    ),
)
