"""What any request may be refused for, whatever it asks for: its form, its Idempotency-Key, and failures here."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ERRORS_OF_FIELDS, ErrorCode

OF_REQUESTS: Final = (
    ErrorCode(
        "invalid",
        400,
        "The request is not valid.",
        "Correct what `errors` names and send it again. The same request will be refused again.",
        ERRORS_OF_FIELDS,
    ),
    ErrorCode(
        "forbidden",
        403,
        "You may not do this: your key lacks the scope, or our staff have to look at your account first.",
        "See `detail`. Asking again does not help.",
    ),
    ErrorCode(
        "not_found",
        404,
        "There is no such thing, or it is not yours.",
        "Compare the address with the documentation.",
    ),
    ErrorCode(
        "method_not_allowed",
        405,
        "The path does not know this method.",
        "Use one of those that the `Allow` header names.",
    ),
    ErrorCode(
        "not_acceptable",
        406,
        "Answers are JSON, or PDF of documents; the Accept header takes neither.",
        "Send `Accept: application/json`.",
    ),
    ErrorCode(
        "idempotency_conflict",
        409,
        "The Idempotency-Key was used for another request.",
        "Send a new key for a new request, and the same key only with the same request.",
    ),
    ErrorCode(
        "idempotency_in_progress",
        409,
        "The first request under this Idempotency-Key is being answered.",
        "Send the request again after `Retry-After`, with the same key.",
    ),
    ErrorCode(
        "idempotency_exhausted",
        409,
        "The request under this Idempotency-Key has run too often, and its answer could not be kept.",
        "Send a new key; the request is then run and charged anew.",
    ),
    ErrorCode("too_large", 413, "The body is too large.", "Send less, in several requests."),
    ErrorCode(
        "unsupported_media_type", 415, "The body is not JSON.", "Send JSON with `Content-Type: application/json`."
    ),
    ErrorCode(
        "internal_error",
        500,
        "Something went wrong here. Tokens that the call took were given back.",
        "Try again later. If it goes on, tell us the `X-Request-ID` of the response.",
    ),
    ErrorCode(
        "unavailable",
        503,
        "No decision can be made at the moment; the call was not served.",
        "Send the request again after `Retry-After`, with the same `Idempotency-Key` if it had one.",
    ),
)
