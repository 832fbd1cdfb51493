"""Recurring revenue: by hand, for every interval, with discounts, trials, kept prices and another currency."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.models import Plan, Subscription
from billing.reports.recurring import by_currency, plan_shares
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.staff import starting
from tests.factories import make_coupon, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db


def test_nothing_recurs_without_a_subscription(catalogue: None) -> None:
    assert plan_shares() == []
    assert by_currency(plan_shares()) == {}


def test_periods_of_every_length_count_for_a_month(catalogue: None) -> None:
    now = timezone.now()
    monthly, yearly = make_plan("monthly", 30, rank=1), make_plan("yearly", 100, rank=2, interval="year")
    quarterly = make_plan("quarterly", 90, rank=3, interval="quarter", currency="EUR")
    for plan in (monthly, monthly, yearly, quarterly):
        make_subscription(plan, now)
    make_subscription(Plan.objects.get(code="community"), now)
    shares = {share.name: share for share in plan_shares()}
    assert [(shares[n].subscribers, shares[n].paying) for n in ("Monthly", "Community")] == [(2, 2), (1, 0)]
    assert by_currency(plan_shares()) == {"EUR": money("30.00"), "USD": money("68.33")}, "60 and a twelfth of 100"


def test_discounts_trials_and_own_prices(catalogue: None) -> None:
    now, plan = timezone.now(), make_plan("gold", 40, rank=5)
    make_coupon("HALF")
    free = Plan.objects.get(code="community")
    half, own, trying = (make_subscription(free, now).account for _ in range(3))
    redeeming.redeem(half.pk, "HALF", now)
    for user, terms in (
        (half, starting.Terms(plan)),
        (own, starting.Terms(plan, own_price=money(12))),
        (trying, starting.Terms(plan, trial_days=14)),
    ):
        starting.start(user.pk, terms, now, starting.preview_start(user.pk, terms, now).digest)
    gold = next(share for share in plan_shares() if share.name == "Gold")
    assert (gold.subscribers, gold.paying, gold.monthly) == (3, 2, 32), "20 and 12; a trial pays nothing"


def test_who_has_ended_recurs_no_more(catalogue: None) -> None:
    subscription = make_subscription(make_plan("gold", 40), timezone.now())
    Subscription.objects.filter(pk=subscription.pk).update(status="canceled", ended_at=timezone.now())
    assert by_currency(plan_shares()) == {}
