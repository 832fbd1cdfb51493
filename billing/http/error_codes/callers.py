"""Who calls: API keys, and browsers that are logged in."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ErrorCode

OF_CALLERS: Final = (
    ErrorCode(
        "too_many_keys",
        400,
        "The account has as many live API keys as it may have.",
        "Revoke one that is not needed with `DELETE /api/v1/keys/{id}`.",
    ),
    ErrorCode(
        "not_authenticated",
        401,
        "The API key is missing or not good, and nobody is logged in.",
        "Send a valid key as `Authorization: Bearer <key>`.",
        {
            "reason": "`missing`, `scheme`, `unknown`, `revoked`, `expired`; the last two for a right key only; or"
            " `refused`: what is no key of this site, such as a token of the product's own."
        },
    ),
    ErrorCode(
        "csrf_failed",
        403,
        "A browser's request came without its CSRF token.",
        "Send the `csrftoken` cookie's value as `X-CSRFToken`, or use an API key.",
    ),
    ErrorCode(
        "key_ended",
        409,
        "The API key is revoked or has expired, and stays so.",
        "Make another one with `POST /api/v1/keys`.",
    ),
    ErrorCode(
        "already_rotated", 409, "Another API key has taken this one's place.", "Rotate that one; `detail` names it."
    ),
)
