"""Customers for one experiment, made as staff would make them."""

from __future__ import annotations

from typing import Any

from tests.programs.chaos.load import Account


def customer(prefix: str, role: str, plan: str, now: Any, **limits: int | None) -> Account:
    """A user on a plan with a key; `quota` and `minute`, where given, override the plan's (None: unlimited)."""
    from django.contrib.auth import get_user_model

    from billing.models import ApiKey, LimitOverride, Plan
    from billing.subscriptions import opening

    user = get_user_model().objects.create_user(f"{prefix}-{role}")
    offer = Plan.objects.get(code=plan)
    for limit, maximum in limits.items():
        LimitOverride.objects.create(account=user, limit=limit, maximum=maximum)
    opening.subscribe(user.pk, offer, now)
    _, key = ApiKey.issue(account=user, name="chaos")
    quota = limits.get("quota", offer.monthly_token_quota)
    minute = limits.get("minute", offer.requests_per_minute)
    return Account(role, user.pk, key, quota, minute)


def crowd(prefix: str) -> list[Account]:
    """The usual load: quotas spent before and after the fault, minutes used up, and customers without limits."""
    from django.utils import timezone

    now = timezone.now()
    spent = customer(prefix, "spent", "community", now, minute=None)
    edges = [customer(prefix, f"edge-{n}", "starter", now, minute=None) for n in (1, 2)]
    minutes = [customer(prefix, f"minute-{n}", "starter", now, quota=None) for n in (1, 2)]
    large = [customer(prefix, f"large-{n}", "enterprise", now) for n in (1, 2, 3)]
    for account in minutes:
        account.clients, account.pace = 6, 2.0  # so many that they meet each web process
    return [spent, *edges, *minutes, *large]
