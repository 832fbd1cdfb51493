"""What a caller is told when the gateway does not let a call through: problem+json, with what to do next."""

from __future__ import annotations

import logging
from typing import Any

from django.http import HttpRequest, HttpResponse

from billing.http import problems
from billing.rules.entitlement import MINUTE, Entitlement, entitle
from ratelimit.limits import Outcome, whole_seconds
from usage.metering.admission import Admission
from usage.metering.quota import passes
from usage.metering.retry_after import longest_wait

logger = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 1
UPGRADE_URL = "/dashboard/"


def refuse(request: HttpRequest, admission: Admission) -> HttpResponse:
    """The response to a call that was not admitted."""
    if admission.decision.outcome is Outcome.CONFLICT:
        detail = "This Idempotency-Key was used for another request. Send a new key for a new request."
        return problems.respond(request, 409, "idempotency_conflict", detail)
    if not admission.entitled:
        return _lacks_feature(request, admission)
    return _exceeds(request, admission)


def unauthenticated(request: HttpRequest) -> HttpResponse:
    detail = "Send a valid API key as `Authorization: Bearer <key>`, or log in."
    return problems.respond(request, 401, "not_authenticated", detail, {"WWW-Authenticate": "Bearer"})


def csrf_failed(request: HttpRequest, reason: str) -> HttpResponse:
    detail = f"{reason} Send the csrftoken cookie's value as X-CSRFToken, or use an API key."
    return problems.respond(request, 403, "csrf_failed", detail)


def flooded(request: HttpRequest, retry_after: int) -> HttpResponse:
    detail = "Too many unknown API keys from this address."
    headers = {"Retry-After": str(retry_after)}
    return problems.respond(request, 429, "rate_limited", detail, headers, retry_after=retry_after)


def invalid_header(request: HttpRequest, name: str, message: str) -> HttpResponse:
    detail = f"The {name} header is not valid. {message}"
    return problems.respond(request, 400, "invalid", detail, errors={name: [message]})


def unavailable(request: HttpRequest, reason: Exception) -> HttpResponse:
    logger.warning("%s %s is answered with 503: %s", request.method, request.path, reason)
    detail = "No decision can be made at the moment; the call was not served. Try again."
    return problems.respond(request, 503, "unavailable", detail, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def _lacks_feature(request: HttpRequest, admission: Admission) -> HttpResponse:
    feature, plan = admission.charge.feature, admission.snapshot.entitlement.plan
    assert feature is not None
    detail = f"The {plan.name} plan does not include {feature.capability}. Upgrade to use {feature.code}."
    members = {"feature": feature.code, "capability": feature.capability} | _way_up(admission)
    return problems.respond(request, 403, "feature_not_in_plan", detail, **members)


def _exceeds(request: HttpRequest, admission: Admission) -> HttpResponse:
    names = [limit.name for limit in admission.decision.violated]
    violated = [standing for standing in admission.standings if standing.limit.name in names]
    cost = admission.charge.feature.tokens if admission.charge.feature else 0
    worst, wait_ms = longest_wait(admission, violated, cost)
    retry_after = None if wait_ms is None else max(whole_seconds(wait_ms), 1)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    members: dict[str, Any] = {"violated-policies": names, "retry_after": retry_after} | _way_up(admission)
    if worst.limit.name == MINUTE:
        detail = f"Rate limit exceeded. Limit: {worst.limit.maximum} requests/minute. Upgrade for higher limits."
        return problems.respond(request, 429, "rate_limited", detail, headers, limit=worst.limit.maximum, **members)
    members |= {
        "quota": worst.limit.maximum,
        "tokens_used": worst.used,
        "tokens_remaining": worst.remaining,
        "cost": cost,
        "resets_at": f"{admission.snapshot.entitlement.window.end:%Y-%m-%dT%H:%M:%SZ}",
    }
    detail = "Monthly quota exceeded. Please upgrade your plan."
    return problems.respond(request, 429, "quota_exceeded", detail, headers, **members)


def _way_up(admission: Admission) -> dict[str, Any]:
    """Where the caller stands, and the cheapest plan that would have let this call pass."""
    snapshot, now = admission.snapshot, admission.decided_at
    plans = snapshot.catalogue.plans
    passing = [code for code in plans if _would_pass(admission, entitle(snapshot.facts, plans, now, plan=code))]
    suggested = snapshot.suggest(passing)
    return {
        "current_plan": snapshot.entitlement.plan.code,
        "suggested_plan": suggested.code if suggested else None,
        "upgrade_url": UPGRADE_URL,
    }


def _would_pass(admission: Admission, entitlement: Entitlement) -> bool:
    feature, minute = admission.charge.feature, admission.minute
    if feature is not None and not entitlement.includes(feature):
        return False
    cost = feature.tokens if feature is not None else 0
    return passes(entitlement, cost, admission.quota.used, minute.used if minute else 0)
