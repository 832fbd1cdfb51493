"""Every code of a problem, explained once: for the page that a problem's `type` leads to, and the OpenAPI document."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.limits import REFUSED_BY_LIMITS, WAY_UP, ErrorCode

EXPLAINED_AT: Final = "/api/docs/errors"
"""Where the page is; a code is its anchor."""
QUOTA_EXCEEDED_TYPE: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"
"""Of every 429: a type that clients may know from elsewhere."""
UNEXPLAINED: Final = "about:blank"
"""Of a code that is not ours, such as a host product's."""
_ERRORS: Final = {"errors": "What is wrong with each field of the request."}
_FINISHED: Final = {"state": "How it was finished.", "tokens_charged": "What it has cost, in tokens."}

ERRORS: Final[dict[str, ErrorCode]] = {
    error.code: error
    for error in (
        ErrorCode(
            "invalid",
            400,
            "The request is not valid.",
            "Correct what `errors` names and send it again. The same request will be refused again.",
            _ERRORS,
        ),
        ErrorCode(
            "upstream_refused",
            400,
            "The model's provider does not accept the request. Nothing was charged.",
            "Compare it with what the model takes; `detail` has the status that the provider answered with.",
        ),
        ErrorCode(
            "not_an_upgrade",
            400,
            "The plan is not higher than the present one.",
            "Choose a higher plan, or schedule a lower one with `POST /api/v1/billing/downgrade`.",
            _ERRORS,
        ),
        ErrorCode(
            "not_a_downgrade",
            400,
            "The plan is not lower than the present one.",
            "Choose a lower plan, or get a higher one with `POST /api/v1/billing/upgrade`.",
            _ERRORS,
        ),
        ErrorCode(
            "active_features",
            400,
            "In the last 30 days you have used features that the lower plan lacks.",
            "Stop using them for 30 days, or choose a plan that has their capabilities.",
            _ERRORS | {"active_features": "The capabilities in use, sorted."},
        ),
        ErrorCode(
            "coupon_invalid",
            400,
            "The coupon cannot be redeemed.",
            "See `reason`. After ten unknown codes in ten minutes there is a pause.",
            {"reason": "`unknown`, `expired`, `used_up`, `already_redeemed` or `another_active`."},
        ),
        ErrorCode(
            "too_many_keys",
            400,
            "The account has as many live API keys as it may have.",
            "Revoke one that is not needed with `DELETE /api/v1/keys/{id}`.",
        ),
        ErrorCode(
            "too_many_endpoints",
            400,
            "The account has as many webhook endpoints as it may have.",
            "Delete one with `DELETE /api/v1/webhooks/{id}`.",
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
            "forbidden",
            403,
            "You may not do this: your key lacks the scope, or our staff have to look at your account first.",
            "See `detail`. Asking again does not help.",
        ),
        ErrorCode(
            "payment_failed",
            402,
            "The card was declined. Nothing was charged.",
            "Pay with another card; where `retryable` is true, the same one may pass on another day.",
            {
                "decline_code": "The bank's reason, such as `insufficient_funds`.",
                "retryable": "Whether the same card may pass on another day.",
            },
        ),
        ErrorCode(
            "feature_not_in_plan",
            403,
            "The plan lacks the capability that the feature needs.",
            "Change to a plan that has it; `suggested_plan` is the cheapest.",
            {"feature": "The feature's code.", "capability": "What the plan lacks, or null."} | WAY_UP,
        ),
        ErrorCode(
            "csrf_failed",
            403,
            "A browser's request came without its CSRF token.",
            "Send the `csrftoken` cookie's value as `X-CSRFToken`, or use an API key.",
        ),
        ErrorCode(
            "not_voidable",
            403,
            "This was charged for a call that was served, or for usage that was reported: it stands.",
            "Only charges of `POST /api/v1/usage/track` and of `/api/v1/usage/authorize` can be voided.",
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
        ErrorCode(
            "nothing_scheduled", 409, "No change of plan is scheduled.", "There is nothing to do: the plan stays."
        ),
        ErrorCode(
            "nothing_to_cancel",
            409,
            "There is nothing to cancel, or no cancellation to take back.",
            "See `GET /api/v1/billing/subscription` for what follows.",
        ),
        ErrorCode(
            "not_payable",
            409,
            "The invoice is not open: it is paid, or void.",
            "Look at its `status`; nothing is to be paid.",
        ),
        ErrorCode(
            "quote_expired",
            409,
            "The amounts that were shown hold no longer.",
            "Ask for a new preview with `POST /api/v1/billing/calculate-proration`, and send its `at` as `quoted_at`.",
        ),
        ErrorCode("no_coupon", 409, "No coupon discounts periods to come.", "There is nothing to give up."),
        ErrorCode(
            "no_overage",
            409,
            "The plan sells no tokens above its quota, so there is no cap to set.",
            "Change to a plan that does, or buy a token pack.",
        ),
        ErrorCode(
            "nothing_to_top_up",
            409,
            "The plan's tokens are unlimited.",
            "There is nothing to do: no call is refused for want of tokens.",
        ),
        ErrorCode(
            "no_document",
            409,
            "There is no PDF of this invoice or credit note.",
            "See `detail`; the figures are in its JSON all the same.",
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
        ErrorCode("already_voided", 409, "This charge was voided before.", "There is nothing to do: it costs nothing."),
        ErrorCode(
            "already_settled",
            409,
            "The reservation was finished before, otherwise than is asked now.",
            "There is nothing to do: `tokens_charged` is what it has cost.",
            _FINISHED,
        ),
        ErrorCode(
            "reservation_expired",
            409,
            "Nobody settled the reservation in time. It was finished by its last heartbeat.",
            "`tokens_charged` is what it has cost. Send heartbeats, or reserve for longer with `expires_in`.",
            _FINISHED,
        ),
        ErrorCode(
            "children_open",
            409,
            "Other reservations still draw from this one.",
            "Settle or release its children first.",
            {"open": "How many of them are open."},
        ),
        ErrorCode("too_late", 409, "A charge can be voided within an hour.", "Ask our staff."),
        ErrorCode("too_large", 413, "The body is too large.", "Send less, in several requests."),
        ErrorCode(
            "unsupported_media_type", 415, "The body is not JSON.", "Send JSON with `Content-Type: application/json`."
        ),
        *REFUSED_BY_LIMITS,
        ErrorCode(
            "internal_error",
            500,
            "Something went wrong here. Tokens that the call took were given back.",
            "Try again later. If it goes on, tell us the `X-Request-ID` of the response.",
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
        ErrorCode(
            "unavailable",
            503,
            "No decision can be made at the moment; the call was not served.",
            "Send the request again after `Retry-After`, with the same `Idempotency-Key` if it had one.",
        ),
    )
}


def type_of(status: int, code: str) -> str:
    """The `type` of a problem: where it is explained."""
    if status == 429:
        return QUOTA_EXCEEDED_TYPE
    return f"{EXPLAINED_AT}#{code}" if code in ERRORS else UNEXPLAINED
