"""Why a call was not admitted, as a code and its parameters: the sentences are made at the doors."""

from __future__ import annotations

from typing import Any, NamedTuple

from billing.rules.entitlements.entitlement import MINUTE, Entitlement, Metered, entitle
from billing.rules.instants import from_ms
from billing.rules.tokens.budgets import Budgets
from billing.rules.tokens.model_prices import MOST_TOKENS, affordable
from ratelimit.budgets import COUNTED
from ratelimit.limits import BudgetStanding, Outcome, Part, whole_seconds
from usage.metering.admission import Admission
from usage.metering.budgets import OF_TOKENS
from usage.metering.quota import of_included, overage_of, passes
from usage.metering.retry_after import longest_wait, wait_to_pass

IN_PROGRESS_RETRY_SECONDS = 1
KEY_CODES = {
    Outcome.CONFLICT: "idempotency_conflict",
    Outcome.IN_PROGRESS: "idempotency_in_progress",
    Outcome.EXHAUSTED: "idempotency_exhausted",
}

BUDGET_EXCEEDED = "budget_exceeded"
CODES_OF_BUDGETS = {Part.RUN_OPEN: "too_many_open", Part.REPEATS: "loop_detected"}
"""Any other is BUDGET_EXCEEDED."""


class Refusal(NamedTuple):
    """A stable code, what belongs to it, and whole seconds until the call would pass (None: waiting cannot help)."""

    code: str
    parameters: dict[str, Any]
    retry_after: int | None = None


def refusal_of(admission: Admission) -> Refusal:
    """Of an admission that is not `admitted`.

    `feature_not_in_plan`: feature (None: the view needs a capability, whatever it is charged), capability, plan (its
    name). `rate_limited`: limit. `quota_exceeded`: quota, tokens_used, tokens_remaining, overage (None: none is sold),
    cost, resets_at; of a reservation in units, affordable (how many units would pass). All three: current_plan,
    suggested_plan (the cheapest that would have let the call pass, or None); the last two: violated_policies. Those of
    an Idempotency-Key have no parameters. `budget_exceeded`, `too_many_open`, `loop_detected`: budget (which one),
    limit, used, cost, resets_at (None: no window of its own ends), violated_policies; the first also affordable.
    """
    if code := KEY_CODES.get(admission.decision.outcome):
        return Refusal(code, {}, IN_PROGRESS_RETRY_SECONDS if code == "idempotency_in_progress" else None)
    feature, entitlement = admission.request.feature, admission.snapshot.entitlement
    if not admission.entitled:
        code = feature.code if feature is not None else None
        about = {"feature": code, "capability": _lacking(admission, feature), "plan": entitlement.plan.name}
        return Refusal("feature_not_in_plan", about | _plans(admission))
    return _exceeded(admission, feature)


def _lacking(admission: Admission, feature: Metered | None) -> str | None:
    """The first capability that the plan lacks; None where it has all of them, and there is no plan."""
    of_feature = (feature.capability,) if feature is not None and feature.capability else ()
    has = admission.snapshot.entitlement.capabilities
    return next((each for each in (*of_feature, *admission.request.capabilities) if each not in has), None)


def _exceeded(admission: Admission, feature: Metered | None) -> Refusal:
    names = list(dict.fromkeys(limit.name for limit in admission.decision.violated))
    violated = [standing for standing in admission.standings if standing.limit.name in names]
    waits = [(_budget_wait(each, feature), each) for each in admission.budgets if each.refuses]
    account_ms = wait_to_pass(admission, feature)
    wait_ms = _longest([account_ms, *(wait for wait, _ in waits)])
    retry_after = None if wait_ms is None else max(whole_seconds(wait_ms), 1)
    if waits and (not violated or wait_ms != account_ms):
        _, worst_budget = max(waits, key=lambda each: (each[0] is None, each[0] or 0))
        return Refusal(*_of_budget(worst_budget, feature, admission, names), retry_after)
    worst = longest_wait(admission, violated, feature)
    common = {"violated_policies": names} | _plans(admission)
    if worst.limit.name == MINUTE:
        return Refusal("rate_limited", {"limit": worst.limit.maximum} | common, retry_after)
    entitlement = admission.snapshot.entitlement
    included = of_included(entitlement, worst)
    about = {
        "quota": included.limit.maximum,
        "tokens_used": worst.used,
        "tokens_remaining": included.remaining,
        "overage": overage_of(entitlement, worst),
        "cost": feature.tokens if feature is not None else 0,
        "resets_at": entitlement.window.end,
    }
    return Refusal("quota_exceeded", about | _affordable(admission) | common, retry_after)


def _affordable(admission: Admission) -> dict[str, Any]:
    """Of a reservation in units: how many would pass the quota and every budget of tokens."""
    if (rates := admission.request.rates) is None:
        return {}
    standings = [admission.quota, *(each.standing for each in admission.budgets if each.part in OF_TOKENS)]
    left = min((each.remaining for each in standings if each.remaining is not None), default=MOST_TOKENS)
    return {"affordable": affordable(rates, (admission.request.metadata or {}).get("units", {}), left)}


def foresee_refusal(admission: Admission, feature: Metered) -> tuple[str | None, int | None]:
    """Why a call of the feature would be refused now (None: it would not), and whole seconds until it would pass."""
    if not admission.snapshot.entitlement.includes(feature):
        return "feature_not_in_plan", None
    account_ms = wait_to_pass(admission, feature)
    waits = [(_budget_wait(each, feature), each) for each in admission.budgets]
    wait_ms = _longest([account_ms, *(wait for wait, _ in waits)])
    if wait_ms == 0:
        return None, None
    retry_after = None if wait_ms is None else whole_seconds(wait_ms)
    if wait_ms != account_ms:
        return BUDGET_EXCEEDED, retry_after
    worst = longest_wait(admission, admission.standings, feature)
    return "rate_limited" if worst.limit.name == MINUTE else "quota_exceeded", retry_after


def _longest(waits: list[int | None]) -> int | None:
    known = [wait for wait in waits if wait is not None]
    return max(known) if len(known) == len(waits) else None


def _budget_wait(budget: BudgetStanding, feature: Metered | None) -> int | None:
    """Milliseconds until it lets a call of the feature pass. None: waiting cannot help."""
    if budget.part is Part.MINUTE:
        return budget.standing.wait_for_ms(1)
    if budget.part in COUNTED:
        return budget.standing.wait_for_ms(feature.tokens if feature is not None else 0)
    return None if budget.refuses else 0


def _of_budget(
    budget: BudgetStanding, feature: Metered | None, admission: Admission, names: list[str]
) -> tuple[str, dict[str, Any]]:
    limit = budget.standing.limit
    about = {
        "budget": Budgets._fields[budget.part],
        "limit": limit.maximum,
        "used": budget.standing.used,
        "cost": feature.tokens if feature is not None else 0,
        "resets_at": from_ms(limit.ends_at_ms) if budget.part in COUNTED else None,
        "violated_policies": names,
    }
    if budget.part in OF_TOKENS:
        about |= _affordable(admission)
    return CODES_OF_BUDGETS.get(budget.part, BUDGET_EXCEEDED), about


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
    if not entitlement.includes_all(feature, admission.request.capabilities):
        return False
    cost = feature.tokens if feature is not None else 0
    return passes(entitlement, cost, admission.quota.used, minute.used if minute else 0)
