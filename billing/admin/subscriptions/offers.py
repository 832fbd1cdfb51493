"""The plans that staff choose from for a subscription, and what a customer gains or misses on each."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.db.models import QuerySet
from django.utils.html import format_html

from billing.admin.base import unlimited
from billing.admin.invoicing.documents import amount_of, button
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


def _plan_table(rows: list[list[str]], last: str) -> dict[str, Any]:
    """`last` is the header of what can be done."""
    about = ["Plan", "Price", "Direction", "Tokens / window", "Requests / minute", "Capabilities"]
    return {"headers": [*about, last], "rows": rows}


def _plan_row(plan: Plan, way: str, last: str) -> list[str]:
    return [
        format_html('<strong class="font-medium text-important">{}</strong>', plan),
        f"{amount_of(plan.price, plan.currency)} / {plan.interval}",
        way,
        unlimited(plan.monthly_token_quota),
        unlimited(plan.requests_per_minute),
        ", ".join(plan.capability_codes()) or "none",
        last,
    ]


def offer_table(current: CurrentSubscription) -> dict[str, Any]:
    """The plans that can be changed to, each with a link to its preview."""
    rows = []
    for plan, direction in offers(current):
        preview = button(f"Preview {plan}", href=f"?target={quote(plan.code)}", variant="default")
        rows.append(_plan_row(plan, str(direction), preview))
    return _plan_table(rows, "")


def limit_table(before: Plan, after: Plan) -> dict[str, Any]:
    """What is limited on the one plan, and on the other."""
    rows = [
        ("Tokens / window", unlimited(before.monthly_token_quota), unlimited(after.monthly_token_quota)),
        ("Window", before.get_quota_window_display(), after.get_quota_window_display()),
        ("Requests / minute", unlimited(before.requests_per_minute), unlimited(after.requests_per_minute)),
        ("Capabilities", ", ".join(before.capability_codes()) or "none", ", ".join(after.capability_codes()) or "none"),
    ]
    return {"headers": ["Limit", str(before), str(after)], "rows": [[*row[:2], _changed(*row[1:])] for row in rows]}


def _changed(before: str, after: str) -> str:
    if before == after:
        return after
    return format_html('<strong class="font-semibold text-important">{}</strong>', after)


def missed_now(account: int, current: CurrentSubscription, target: Plan, now: datetime) -> list[str] | None:
    """Capabilities in active use that a lower target lacks; staff may go on, but knowing it. None: it is not known."""
    if decide(current.period.terms, target.terms) is not Direction.DOWNGRADE:
        return []
    try:
        return blockers(changes.features_in_use(account, target, now), target.capability_codes())
    except REFUSALS:
        return None


def downgrade_table(account: int, current: CurrentSubscription, now: datetime) -> dict[str, Any]:
    """Plans that can follow at the period's end, each with a button or with what in active use it lacks.

    Raises ActivityUnknown.
    """
    held = current.period.terms
    later = [plan for plan in _others(current) if available(held, plan.terms) is Available.AT_PERIOD_END]
    in_use = changes.features_in_use(account, later[0], now) if later else frozenset()
    rows = []
    for plan in later:
        last: str = button(f"Schedule {plan}", submit=1, name="target", value=plan.code)
        if missed := blockers(in_use, plan.capability_codes()):
            blocked = '<span class="text-red-700 dark:text-red-400">Blocked: in active use {}</span>'
            last = format_html(blocked, ", ".join(missed))
        rows.append(_plan_row(plan, "at the period's end", last))
    return _plan_table(rows, "From the period's end")
