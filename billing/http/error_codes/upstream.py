"""Calls that the model's provider refuses or fails."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ErrorCode

OF_UPSTREAM: Final = (
    ErrorCode(
        "upstream_refused",
        400,
        "The model's provider does not accept the request. Nothing was charged.",
        "Compare it with what the model takes; `detail` has the status that the provider answered with.",
    ),
    ErrorCode(
        "upstream_failed",
        502,
        "The model's provider failed, or broke off its answer. Only what it had reported by then was charged.",
        "Send the request again.",
    ),
    ErrorCode(
        "upstream_timeout",
        504,
        "The model's provider was silent for too long.",
        "Send the request again later, or ask for a shorter answer.",
    ),
)
