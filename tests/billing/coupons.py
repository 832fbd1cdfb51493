"""Coupons in tests: customers who redeem one, what is billed and used of it, and any coupon at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from billing.models import Coupon, CouponRedemption, Plan, Subscription
from billing.rules.money import from_minor
from billing.subscriptions.coupons import redeeming
from tests.billing.ledger import assert_explained, assert_tiled, invoices
from tests.factories import at, make_coupon, make_subscription

MIDDLE = at("2025-10-16 09:30:00")
_codes = itertools.count()
COUPONS = st.fixed_dictionaries(
    {
        "percent": st.integers(1, 10_000).map(lambda hundredths: Decimal(hundredths) / 100),
        "amount": st.one_of(st.just(0), st.integers(0, 200_000)),
        "periods": st.sampled_from([None, 1, 2]),
        "plans": st.lists(st.booleans(), min_size=7, max_size=7),
    }
)
"""For `any_coupon`."""


def any_coupon(drawn: dict[str, Any], plans: Sequence[Plan]) -> Coupon:
    """A percentage, or an amount in minor units of the plans' currency; for the plans whose turn is true."""
    currency = plans[0].currency
    terms: dict[str, Any] = {"percent": drawn["percent"]}
    if drawn["amount"]:
        terms = {"amount": from_minor(drawn["amount"], currency), "currency": currency}
    for_plans = [plan for plan, is_for in zip(plans, drawn["plans"], strict=False) if is_for]
    return make_coupon(f"C{next(_codes)}", periods=drawn["periods"], plans=for_plans, **terms)


def redeemed(plan: Plan, now: datetime = MIDDLE, **terms: Any) -> Subscription:
    """A customer of the plan since October 1st, who redeems a coupon in the middle of the period."""
    make_coupon(**terms)
    subscription = make_subscription(plan, at("2025-10-01"))
    redeeming.redeem(subscription.account_id, "SPRING", now)
    return subscription


def used(subscription: Subscription) -> int:
    return CouponRedemption.objects.get(account=subscription.account_id).periods_used


def totals(subscription: Subscription) -> list[Any]:
    return [invoice.total for invoice in invoices(subscription)]


def assert_sound(subscription: Subscription) -> None:
    assert_tiled(subscription)
    assert_explained(subscription)
