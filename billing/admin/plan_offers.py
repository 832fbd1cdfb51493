"""The plans that staff choose from for a subscription, and what a customer gains or misses on each."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from billing.admin.base import unlimited
from billing.admin.documents import amount_of
from billing.models import Plan
from billing.rules.plan_change import Available, Direction, OnlyAtPeriodEnd, available, blockers, decide
from billing.subscriptions import changes, refusals
from billing.subscriptions.current import CurrentSubscription

REFUSALS = (refusals.PlanChangeRefused, refusals.ActivityUnknown, OnlyAtPeriodEnd)


def on_sale(code: str) -> Plan:
    """The plan of that code. Raises NotOnSale."""
    plan = Plan.objects.on_sale().filter(code=code).first()
    if plan is None:
        raise refusals.NotOnSale
    return plan


def offers(current: CurrentSubscription) -> list[tuple[Plan, Direction]]:
    """Other plans on sale that the present one can be exchanged for now, and which way that goes."""
    held = current.period.terms
    found = []
    for plan in _others(current):
        try:
            found.append((plan, decide(held, plan.terms)))
        except OnlyAtPeriodEnd:
            continue
    return found


def _others(current: CurrentSubscription) -> QuerySet[Plan]:
    return Plan.objects.on_sale().exclude(pk=current.plan.pk).prefetch_related("capabilities")


def offer_row(plan: Plan, direction: Direction) -> dict[str, Any]:
    return {
        "plan": plan,
        "price": f"{amount_of(plan.price, plan.currency)} / {plan.interval}",
        "direction": str(direction),
        "quota": unlimited(plan.monthly_token_quota),
        "rate": unlimited(plan.requests_per_minute),
        "capabilities": ", ".join(plan.capability_codes()) or "none",
    }


def limit_rows(before: Plan, after: Plan) -> list[tuple[str, str, str]]:
    """What is limited, how much it is on the one plan, and on the other."""
    return [
        ("Tokens / window", unlimited(before.monthly_token_quota), unlimited(after.monthly_token_quota)),
        ("Window", before.get_quota_window_display(), after.get_quota_window_display()),
        ("Requests / minute", unlimited(before.requests_per_minute), unlimited(after.requests_per_minute)),
        ("Capabilities", ", ".join(before.capability_codes()) or "none", ", ".join(after.capability_codes()) or "none"),
    ]


def missed_now(account: int, current: CurrentSubscription, target: Plan, now: datetime) -> list[str] | None:
    """Capabilities in active use that a lower target lacks; staff may go on, but knowing it. None: it is not known."""
    if decide(current.period.terms, target.terms) is not Direction.DOWNGRADE:
        return []
    try:
        return blockers(changes.features_in_use(account, target, now), target.capability_codes())
    except REFUSALS:
        return None


def downgrade_rows(account: int, current: CurrentSubscription, now: datetime) -> list[dict[str, Any]]:
    """Plans that can follow at the period's end, each with its `blockers`: capabilities in active use that it lacks.

    Raises ActivityUnknown.
    """
    held = current.period.terms
    later = [plan for plan in _others(current) if available(held, plan.terms) is Available.AT_PERIOD_END]
    in_use = changes.features_in_use(account, later[0], now) if later else frozenset()
    return [
        offer_row(plan, Direction.DOWNGRADE) | {"blockers": blockers(in_use, plan.capability_codes())} for plan in later
    ]
