"""What the gateway has decided and how fast, counted in each web process; `exposition` adds the processes up.

Labels are few and known before: outcomes, and plans of the catalogue. Never a path, an account, or what a client sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import Counter, Histogram

from ratelimit.limits import Outcome
from usage.metering.admission import Admission

MOST_PLANS: Final = 100
"""Plans with a label of their own in one process. Who makes a plan for each customer has more; those are "other"."""
LACKING: Final = "feature_not_in_plan"
UNIDENTIFIED: Final = ("unauthenticated", "unavailable")
"""Outcomes of calls whose account is not known, or was not decided on: their plan is ""."""

decisions = Counter("metered_decisions", "Calls decided on, by outcome and plan.", ["outcome", "plan"])
decision_seconds = Histogram(
    "metered_decision_seconds",
    "Seconds from an identified caller to a decision.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
)
without_redis = Counter("metered_decisions_without_redis", "Calls decided on by PostgreSQL, by outcome.", ["outcome"])
_observe = decision_seconds.observe
_outcomes: Final = [outcome.name.lower() for outcome in sorted(Outcome)]  # by number, from 1
_count_without_redis = [without_redis.labels(outcome).inc for outcome in _outcomes]
_count_unidentified = {outcome: decisions.labels(outcome, "").inc for outcome in UNIDENTIFIED}
# By plan, how an outcome is counted, by its number; the last one is of features that the plan lacks. It is no process
# state that tests start anew: the library's own counters are not either.
_of_plan: dict[str, list[Callable[[], None]]] = {}


def count(admission: Admission, seconds: float) -> None:
    """Count one decision by its outcome and plan, and the seconds it took."""
    _observe(seconds)
    plan, outcome = admission.call.snapshot.entitlement.plan.terms.code, admission.decision.outcome
    counts = _of_plan.get(plan) or _counts_of(plan)
    counts[outcome - 1 if admission.entitled else -1]()
    if not admission.by_redis:
        _count_without_redis[outcome - 1]()


def count_unidentified(outcome: str) -> None:
    """Count a call of which it is not known who calls, or that could not be decided on; one of UNIDENTIFIED."""
    _count_unidentified[outcome]()


def _counts_of(plan: str) -> list[Callable[[], None]]:
    label = plan if len(_of_plan) < MOST_PLANS else "other"
    return _of_plan.setdefault(plan, [decisions.labels(outcome, label).inc for outcome in (*_outcomes, LACKING)])
