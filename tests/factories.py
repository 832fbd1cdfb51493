"""What tests are made of: plans at a price, customers since an instant, instants and amounts as text."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth import get_user_model

from billing.models import Coupon, Plan, Subscription
from billing.subscriptions import opening

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_serial = itertools.count(1)


def at(text: str) -> datetime:
    """An instant in UTC: `2025-10-16` or `2025-10-16 23:59:59`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def money(amount: Any) -> Decimal:
    return Decimal(str(amount))


def make_plan(code: str, price: Any, rank: int = 0, **fields: Any) -> Plan:
    plan = Plan(code=code, name=code.title(), price=money(price), rank=rank, priced_at=LONG_AGO, **fields)
    plan.save()
    return plan


def make_coupon(code: str = "SPRING", **terms: Any) -> Coupon:
    """Half the price of all periods, unless `terms` say otherwise; `plans` may be among them."""
    plans = terms.pop("plans", ())
    coupon = Coupon(code=code, name=code.title(), **({} if "amount" in terms else {"percent": money(50)}) | terms)
    coupon.save()
    coupon.plans.set(plans)
    return coupon


def make_subscription(plan: Plan, since: datetime, name: str = "") -> Subscription:
    user = get_user_model().objects.create_user(name or f"customer{next(_serial)}")
    return opening.subscribe(user.pk, plan, since)
