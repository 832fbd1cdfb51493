"""What a caller is told when the gateway does not let a call through: problem+json, with what to do next."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from billing.entitlements.callers import BadCredentials
from billing.http import overage, problems
from billing.http.error_codes import ERRORS
from billing_site.operations import metrics
from billing_site.request.authentication import CsrfFailed, Flooded
from usage.metering import refused_calls
from usage.metering.admission import Admission
from usage.metering.admit import FeatureNotSold
from usage.metering.refusal import refusal_of

logger = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 1
UPGRADE_URL = "/dashboard/"
SENTENCES = {
    "feature_not_in_plan": "The {plan} plan does not include {capability}. Upgrade to use {feature}.",
    "rate_limited": "Rate limit exceeded. Limit: {limit} requests/minute. Upgrade for higher limits.",
    "quota_exceeded": "Monthly quota exceeded. Please upgrade your plan.",
    "budget_exceeded": "A budget of this {of} is used up: {used} of {limit} {what}.",
    "too_many_open": "This run has {used} open reservations, and may have {limit}. Settle or release one first.",
    "loop_detected": "The same request came {used} times in a row in this run, which may repeat it no more.",
    "idempotency_conflict": "This Idempotency-Key was used for another request. Send a new key for a new request.",
    "idempotency_in_progress": "The first request under this Idempotency-Key is being answered. Try again.",
    "idempotency_exhausted": (
        "The request under this Idempotency-Key has run too often, and its answer could not be kept. Send a new key."
    ),
}
"""What is said of each code of a refusal, with the refusal's parameters; `billing.http.error_codes` has its status."""

ABOVE_THE_QUOTA = (
    "The quota and your cap of {overage.terms.cap_tokens} tokens above it are used up. "
    "Raise the cap (PUT /api/v1/billing/overage) or upgrade your plan."
)
"""What is said instead of `quota_exceeded` where the plan sells tokens above the quota."""

NO_PLAN = {"feature_not_in_plan": "You have no plan. Choose one to use {feature}."}
"""What is said instead to an account that has none."""

NOT_AUTHENTICATED = {
    "missing": "There is no API key and no session.",
    "scheme": "The Authorization header is not of the scheme Bearer.",
    "unknown": "There is no such API key.",
    "revoked": "This API key was revoked, or its user deactivated.",
    "expired": "This API key has expired.",
    "refused": "These credentials are not accepted.",
}


def refuse(request: HttpRequest, admission: Admission) -> HttpResponse:
    """The response to a call that was not admitted; it is counted."""
    refusal = refusal_of(admission)
    refused_calls.count(admission, refusal)
    status, sentence = ERRORS[refusal.code].status, SENTENCES[refusal.code]
    if refusal.parameters.get("current_plan", "") is None:
        sentence = NO_PLAN.get(refusal.code, sentence)
    if refusal.parameters.get("overage") is not None:
        sentence = ABOVE_THE_QUOTA
    headers = _wait_headers(status, refusal.retry_after)
    members = _members(refusal.parameters)
    if status == 429:
        members["retry_after"] = refusal.retry_after
    words = refusal.parameters | {"feature": refusal.parameters.get("feature") or "it"}
    said = sentence.format(**words, **_budget_in_words(refusal.parameters))
    return problems.respond(request, status, refusal.code, said, headers, **members)


def _budget_in_words(parameters: dict[str, Any]) -> dict[str, str]:
    """`tokens_per_day` as tokens a day of a key; nothing of other refusals."""
    what, _, span = parameters.get("budget", "").partition("_per_")
    return {"of": "run" if span == "run" else "API key", "what": f"{what} a {span}"} if span else {}


def _wait_headers(status: int, retry_after: int | None) -> dict[str, str]:
    """Common clients sleep as long as Retry-After says, inside a call: a long wait is in the body alone."""
    if retry_after is not None and retry_after <= settings.RETRY_AFTER_MOST:
        return {"Retry-After": str(retry_after)}
    return {"X-Should-Retry": "false"} if status == 429 else {}


def _members(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a refusal as members of its problem, with where to upgrade."""
    members = {name: value for name, value in parameters.items() if name not in ("plan", "violated_policies")}
    if "violated_policies" in parameters:
        members["violated-policies"] = parameters["violated_policies"]
    if "overage" in members:
        members["overage"] = overage.shown(members["overage"])
    if members.get("resets_at") is not None:
        members["resets_at"] = f"{members['resets_at']:%Y-%m-%dT%H:%M:%SZ}"
    return members | ({"upgrade_url": UPGRADE_URL} if "current_plan" in members else {})


def turned_away(request: HttpRequest, error: BadCredentials | CsrfFailed | Flooded) -> HttpResponse:
    """The response to a caller whom the gateway does not identify."""
    if isinstance(error, CsrfFailed):
        return csrf_failed(request, str(error))
    if isinstance(error, Flooded):
        return flooded(request, error.retry_after_seconds)
    return unauthenticated(request, error.reason)


def unauthenticated(request: HttpRequest, reason: str) -> HttpResponse:
    """The reason is that of BadCredentials."""
    metrics.count_unidentified("unauthenticated")
    detail = f"{NOT_AUTHENTICATED[reason]} Send a valid API key as `Authorization: Bearer <key>`, or log in."
    headers = {"WWW-Authenticate": "Bearer"}
    return problems.respond(request, 401, "not_authenticated", detail, headers, reason=reason)


def csrf_failed(request: HttpRequest, reason: str) -> HttpResponse:
    metrics.count_unidentified("unauthenticated")
    detail = f"{reason} Send the csrftoken cookie's value as X-CSRFToken, or use an API key."
    return problems.respond(request, 403, "csrf_failed", detail)


def flooded(request: HttpRequest, retry_after: int) -> HttpResponse:
    metrics.count_unidentified("unauthenticated")
    detail = "Too many unknown API keys from this address."
    headers = {"Retry-After": str(retry_after)}
    return problems.respond(request, 429, "rate_limited", detail, headers, retry_after=retry_after)


def invalid_header(request: HttpRequest, name: str, message: str) -> HttpResponse:
    detail = f"The {name} header is not valid. {message}"
    return problems.respond(request, 400, "invalid", detail, errors={name: [message]})


def unavailable(request: HttpRequest, reason: Exception) -> HttpResponse:
    metrics.count_unidentified("unavailable")
    logger.warning("%s %s is answered with 503: %s", request.method, request.path, reason)
    detail = "No decision can be made at the moment; the call was not served. Try again."
    if isinstance(reason, FeatureNotSold):
        detail = f"The feature {reason.feature}, as which this is charged, is not on sale. The operator has to add it."
    return problems.respond(request, 503, "unavailable", detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})
