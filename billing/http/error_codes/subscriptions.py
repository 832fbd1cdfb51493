"""Plans and their changes, coupons, invoices and what is paid for them."""

from __future__ import annotations

from typing import Final

from billing.http.error_codes.code import ERRORS_OF_FIELDS, WAY_UP, ErrorCode

OF_SUBSCRIPTIONS: Final = (
    ErrorCode(
        "not_an_upgrade",
        400,
        "The plan is not higher than the present one.",
        "Choose a higher plan, or schedule a lower one with `POST /api/v1/billing/downgrade`.",
        ERRORS_OF_FIELDS,
    ),
    ErrorCode(
        "not_a_downgrade",
        400,
        "The plan is not lower than the present one.",
        "Choose a lower plan, or get a higher one with `POST /api/v1/billing/upgrade`.",
        ERRORS_OF_FIELDS,
    ),
    ErrorCode(
        "active_features",
        400,
        "In the last 30 days you have used features that the lower plan lacks.",
        "Stop using them for 30 days, or choose a plan that has their capabilities.",
        ERRORS_OF_FIELDS | {"active_features": "The capabilities in use, sorted."},
    ),
    ErrorCode(
        "coupon_invalid",
        400,
        "The coupon cannot be redeemed.",
        "See `reason`. After ten unknown codes in ten minutes there is a pause.",
        {"reason": "`unknown`, `expired`, `used_up`, `already_redeemed` or `another_active`."},
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
    ErrorCode("nothing_scheduled", 409, "No change of plan is scheduled.", "There is nothing to do: the plan stays."),
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
)
