"""What the browser sends when staff save a plan's form, and what the form answers."""

from __future__ import annotations

from typing import Any

from billing.models import Plan
from tests.cast import Staff


def plan_form(plan: Plan, **changes: Any) -> dict[str, Any]:
    """What the browser sends when `changes` were typed into the plan's form."""
    fields: dict[str, Any] = {
        "name": plan.name,
        "rank": plan.rank,
        "price": plan.price,
        "currency": plan.currency,
        "interval": plan.interval,
        "monthly_token_quota": "" if plan.monthly_token_quota is None else plan.monthly_token_quota,
        "requests_per_minute": "" if plan.requests_per_minute is None else plan.requests_per_minute,
        "quota_window": plan.quota_window,
        "upgrade_mode": plan.upgrade_mode,
        "trial_days": plan.trial_days,
        "overage_price": "" if plan.overage_price is None else plan.overage_price,
        "overage_cap_tokens": plan.overage_cap_tokens,
        "notice_thresholds-TOTAL_FORMS": 0,
        "notice_thresholds-INITIAL_FORMS": 0,
        "key_budget-TOTAL_FORMS": 0,
        "key_budget-INITIAL_FORMS": 0,
        "capabilities": list(plan.capabilities.values_list("pk", flat=True)),
    }
    return fields | changes


def edit_plan(staff: Staff, code: str, /, **changes: Any) -> Any:
    plan = Plan.objects.get(code=code)
    return staff.send(f"billing/plan/{plan.pk}/change/", **plan_form(plan, **changes))


def form_errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form was accepted"
    return dict(response.context["adminform"].errors)
