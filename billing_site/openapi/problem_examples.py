"""An example of each problem: for the page that explains the codes, and for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from billing.api.sentences import to_customer
from billing.http import problems
from billing.http.error_codes import ERRORS
from billing.rules.refused import Refused

_WAY_UP: Final = {"current_plan": "community", "suggested_plan": "starter", "upgrade_url": "/dashboard/"}
_RUN: Final[dict[str, Any]] = {"violated-policies": ["run"], "cost": 5, "resets_at": None, "retry_after": None}


def _of_a_change(code: str, **parameters: object) -> dict[str, Any]:
    """What a refused change of plan is answered with, in the words that say it."""
    said = to_customer(Refused(code, **parameters))
    return {"detail": said, "errors": {"target_plan": [said]}}


EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "invalid": {
        "detail": "The request is not valid; see errors.",
        "errors": {"feature": ["This field is required."]},
    },
    "not_an_upgrade": _of_a_change("not_an_upgrade", target="Starter", current="Pro"),
    "not_a_downgrade": _of_a_change("not_a_downgrade", target="Business", current="Pro"),
    "active_features": {
        **_of_a_change("active_features", capabilities=["ai_agents", "investigator"]),
        "active_features": ["ai_agents", "investigator"],
    },
    "coupon_invalid": {"detail": to_customer(Refused("coupon_invalid", reason="expired")), "reason": "expired"},
    "not_authenticated": {
        "detail": "There is no such API key. Send a valid API key as `Authorization: Bearer <key>`, or log in.",
        "reason": "unknown",
    },
    "payment_failed": {
        "detail": to_customer(Refused("payment_failed", invoice="INV-2025-000042", decline_code="insufficient_funds")),
        "decline_code": "insufficient_funds",
        "retryable": True,
    },
    "feature_not_in_plan": {
        "detail": "The Community plan does not include ai_agents. Upgrade to use ai_agent_query.",
        "feature": "ai_agent_query",
        "capability": "ai_agents",
        **_WAY_UP,
        "suggested_plan": "business",
    },
    "already_settled": {"state": "settled", "tokens_charged": 12},
    "reservation_expired": {"state": "expired", "tokens_charged": 12},
    "children_open": {"open": 2},
    "bound_exceeded": {
        "violated-policies": ["quota"],
        "tokens_reserved": 20,
        "tokens_lacking": 7,
        "tokens_remaining": 3,
        "affordable": {"output": 2300},
        "retry_after": None,
    },
    "quota_exceeded": {
        "detail": "Monthly quota exceeded. Please upgrade your plan.",
        "violated-policies": ["quota"],
        "retry_after": 777600,
        **_WAY_UP,
        "quota": 100,
        "tokens_used": 97,
        "tokens_remaining": 3,
        "overage": None,
        "cost": 5,
        "resets_at": "2025-11-01T00:00:00Z",
    },
    "rate_limited": {
        "detail": "Rate limit exceeded. Limit: 30 requests/minute. Upgrade for higher limits.",
        "violated-policies": ["minute"],
        "retry_after": 40,
        **_WAY_UP,
        "current_plan": "starter",
        "suggested_plan": "pro",
        "limit": 30,
    },
    "budget_exceeded": {
        "detail": "A budget of this API key is used up: 4998 of 5000 tokens a day.",
        "violated-policies": ["key"],
        "retry_after": 30240,
        "budget": "tokens_per_day",
        "limit": 5000,
        "used": 4998,
        "cost": 5,
        "resets_at": "2025-10-17T00:00:00Z",
    },
    "too_many_open": {**_RUN, "budget": "open_per_run", "limit": 3, "used": 3},
    "loop_detected": {**_RUN, "budget": "repeats_per_run", "limit": 5, "used": 5},
}
"""By code, what an example has beyond the common members. One that has none of its own says what the code means."""


def example_of(code: str) -> dict[str, Any]:
    """The body of a problem of one of our codes."""
    error = ERRORS[code]
    return problems.document(error.status, code, **({"detail": error.meaning} | EXAMPLES.get(code, {})))
