"""What a coupon is going to do: the next invoice, previews of later instants, and of a coupon not yet redeemed."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from billing.models import CouponRedemption, Plan, Subscription
from billing.subscriptions import changes, previews
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from tests.billing.coupons import assert_sound, redeemed, used
from tests.factories import at, make_coupon, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
HALF = money("15.5")


def test_the_next_invoice_is_net_of_it(low: Plan, high: Plan) -> None:
    subscription = redeemed(low, periods=2)
    account = subscription.account_id
    assert (now := current_subscription(account, MIDDLE)).next_invoice_amount == HALF
    assert (now.period.discount, now.next_discount) == (0, HALF)
    late = current_subscription(account, END)
    assert (late.period.discount, late.next_invoice_amount, late.unbilled) == (HALF, HALF, HALF)
    later = current_subscription(account, at("2025-12-01"))
    assert (later.period.discount, later.next_invoice_amount, later.unbilled) == (HALF, 31, 31)
    Subscription.objects.update(scheduled_plan=high, scheduled_at=END)
    assert current_subscription(account, MIDDLE).next_invoice_amount == money("46.5")
    assert used(subscription) == 0


@pytest.mark.parametrize(
    ("day", "credit", "discount"),
    [("2025-11-01", "15.5", "46.5"), ("2025-12-01", "15.5", "46.5"), ("2026-01-01", "31", "0")],
)
def test_a_preview_of_a_later_instant(low: Plan, high: Plan, day: str, credit: str, discount: str) -> None:
    subscription = redeemed(low, periods=2)
    shown = previews.calculate_proration(subscription.account_id, high, MIDDLE, at=at(day)).proration
    assert (shown.credit, shown.discount) == (money(credit), money(discount))
    changed = changes.upgrade(subscription.account_id, high, at(day))
    assert changed.proration == shown


def test_as_if_it_were_redeemed_first(low: Plan, high: Plan) -> None:
    coupon = make_coupon(periods=1)
    subscription = make_subscription(low, START)
    account = subscription.account_id
    for now in (MIDDLE, END):  # at the second the renewal is late
        shown = previews.calculate_proration(account, high, now, coupon=coupon)
        assert (shown.coupon, CouponRedemption.objects.count()) == (coupon, 0)
    redeeming.redeem(account, "SPRING", END)
    assert changes.upgrade(account, high, END).proration == shown.proration
    assert_sound(subscription)


def test_and_before_there_is_a_plan(low: Plan) -> None:
    account = User.objects.create_user("new").pk
    shown = previews.calculate_proration(account, low, MIDDLE, coupon=make_coupon())
    assert (shown.proration.net, shown.coupon is not None) == (HALF, True)
    assert previews.calculate_proration(account, low, MIDDLE).proration.net == 31


def test_another_cycle_of_the_own_plan_is_as_the_period_was_sold(low: Plan, high: Plan) -> None:
    subscription = redeemed(low)
    renewal.renew_due(END)
    account, cycle = subscription.account_id, {"cycle_start": END, "cycle_end": at("2026-01-01")}
    shown = previews.calculate_proration(account, high, END, **cycle)
    assert (shown.proration.credit, shown.proration.discount) == (HALF, money("46.5"))
    shown = previews.calculate_proration(account, high, END, current=low, **cycle)
    assert (shown.proration.credit, shown.proration.discount) == (31, money("46.5")), "at list price"
