"""Why a call was not admitted, as a code and its parameters: the sentences are made at the doors."""

from __future__ import annotations

from typing import Any, NamedTuple

from billing.rules.entitlement import MINUTE, Entitlement, Metered, entitle
from billing.rules.model_prices import MOST_TOKENS, affordable
from ratelimit.limits import Outcome, whole_seconds
from usage.metering.admission import Admission
from usage.metering.quota import of_included, overage_of, passes
from usage.metering.retry_after import longest_wait, wait_to_pass

IN_PROGRESS_RETRY_SECONDS = 1
KEY_CODES = {
    Outcome.CONFLICT: "idempotency_conflict",
    Outcome.IN_PROGRESS: "idempotency_in_progress",
    Outcome.EXHAUSTED: "idempotency_exhausted",
}


class Refusal(NamedTuple):
    """A stable code, what belongs to it, and whole seconds until the call would pass (None: waiting cannot help)."""

    code: str
    parameters: dict[str, Any]
    retry_after: int | None = None


def refusal_of(admission: Admission) -> Refusal:
    """Of an admission that is not `admitted`.

    `feature_not_in_plan`: feature, capability, plan (its name). `rate_limited`: limit. `quota_exceeded`: quota,
    tokens_used, tokens_remaining, overage (None: none is sold), cost, resets_at; of a reservation in units, affordable
    (how many units would pass). All three: current_plan,
    suggested_plan (the cheapest that would have let the call pass, or None); the last two: violated_policies. Those of
    an Idempotency-Key have no parameters.
    """
    if code := KEY_CODES.get(admission.decision.outcome):
        return Refusal(code, {}, IN_PROGRESS_RETRY_SECONDS if code == "idempotency_in_progress" else None)
    feature, entitlement = admission.request.feature, admission.snapshot.entitlement
    if feature is not None and not admission.entitled:
        about = {"feature": feature.code, "capability": feature.capability or None, "plan": entitlement.plan.name}
        return Refusal("feature_not_in_plan", about | _plans(admission))
    return _exceeded(admission, feature)


def _exceeded(admission: Admission, feature: Metered | None) -> Refusal:
    names = [limit.name for limit in admission.decision.violated]
    violated = [standing for standing in admission.standings if standing.limit.name in names]
    worst, wait_ms = longest_wait(admission, violated, feature), wait_to_pass(admission, feature)
    retry_after = None if wait_ms is None else max(whole_seconds(wait_ms), 1)
    common = {"violated_policies": names} | _plans(admission)
    if worst.limit.name == MINUTE:
        return Refusal("rate_limited", {"limit": worst.limit.maximum} | common, retry_after)
    entitlement = admission.snapshot.entitlement
    included = of_included(entitlement, worst)
    about: dict[str, Any] = {
        "quota": included.limit.maximum,
        "tokens_used": worst.used,
        "tokens_remaining": included.remaining,
        "overage": overage_of(entitlement, worst),
        "cost": feature.tokens if feature is not None else 0,
        "resets_at": entitlement.window.end,
    }
    if rates := admission.request.rates:
        units, left = (admission.request.metadata or {}).get("units", {}), worst.remaining
        about["affordable"] = affordable(rates, units, MOST_TOKENS if left is None else left)
    return Refusal("quota_exceeded", about | common, retry_after)


def foresee_refusal(admission: Admission, feature: Metered) -> tuple[str | None, int | None]:
    """Why a call of the feature would be refused now (None: it would not), and whole seconds until it would pass."""
    if not admission.snapshot.entitlement.includes(feature):
        return "feature_not_in_plan", None
    wait_ms = wait_to_pass(admission, feature)
    if wait_ms == 0:
        return None, None
    worst = longest_wait(admission, admission.standings, feature)
    code = "rate_limited" if worst.limit.name == MINUTE else "quota_exceeded"
    return code, None if wait_ms is None else whole_seconds(wait_ms)


def _plans(admission: Admission) -> dict[str, str | None]:
    """The caller's plan, if there is any, and the cheapest that would have let this call pass."""
    snapshot, now = admission.snapshot, admission.decided_at
    plans = snapshot.catalogue.plans
    passing = [code for code in plans if _would_pass(admission, entitle(snapshot.facts, plans, now, plan=code))]
    suggested = snapshot.suggest(passing)
    current = snapshot.entitlement.plan.code or None
    return {"current_plan": current, "suggested_plan": suggested.code if suggested else None}


def _would_pass(admission: Admission, entitlement: Entitlement) -> bool:
    feature, minute = admission.request.feature, admission.minute
    if feature is not None and not entitlement.includes(feature):
        return False
    cost = feature.tokens if feature is not None else 0
    return passes(entitlement, cost, admission.quota.used, minute.used if minute else 0)
