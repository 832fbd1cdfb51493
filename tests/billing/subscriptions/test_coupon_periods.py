"""Periods that open with a coupon: how many, at which price, in bulk, late, parked and released."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from billing.models import BillingPeriod, CouponRedemption, Plan, Subscription
from billing.subscriptions import changes, opening, previews
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import releasing, renewal
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.closers import many_due
from tests.billing.coupons import assert_sound, redeemed, totals, used
from tests.billing.ledger import fresh, invoices, lines
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.factories import at, make_coupon, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
HALF = money("15.5")


@pytest.mark.parametrize(("periods", "discounted"), [(1, 1), (3, 3), (None, 5)])
@pytest.mark.parametrize("beat", ["monthly", "months late"])
def test_as_many_as_it_says(low: Plan, periods: int | None, discounted: int, beat: str) -> None:
    subscription = redeemed(low, periods=periods)
    beats = [END, at("2025-12-01"), at("2026-01-01"), at("2026-02-01"), at("2026-03-01")]
    for now in beats if beat == "monthly" else beats[-1:]:
        renewal.renew_due(now)
    assert totals(subscription) == [31, *[HALF] * discounted, *[31] * (5 - discounted)]
    assert lines(invoices(subscription)[1]) == [("base", 31), ("discount", -HALF)]
    assert invoices(subscription)[1].lines.get(kind="discount").description == "SPRING: 50 % off"
    assert used(subscription) == discounted
    assert_sound(subscription)


def test_a_price_of_nothing_uses_none(free: Plan, low: Plan) -> None:
    subscription = redeemed(free, periods=1)
    renewal.renew_due(END)
    assert used(subscription) == 0
    changes.upgrade(subscription.account_id, low, END)
    assert (totals(subscription), used(subscription)) == ([HALF], 1)


def test_a_trial_uses_none_and_what_follows_it_does(free: Plan) -> None:
    tried = make_plan("tried", 62, 2, trial_days=10)
    subscription = redeemed(free, periods=1)
    account = subscription.account_id
    assert previews.calculate_proration(account, tried, MIDDLE).coupon is None
    changed = changes.upgrade(account, tried, MIDDLE)
    assert (changed.trial_ends_at, used(subscription)) == (at("2025-10-26 09:30:00"), 0)
    assert current_subscription(account, MIDDLE).next_invoice_amount == 31
    renewal.renew_due(at("2025-11-01"))
    assert (totals(subscription)[-1], used(subscription)) == (31, 1)
    assert_sound(subscription)


def test_one_that_it_is_not_for_uses_none(low: Plan, high: Plan) -> None:
    subscription = redeemed(low, periods=1, plans=[high])
    renewal.renew_due(END)
    assert (totals(subscription), used(subscription)) == ([31, 31], 0)
    Subscription.objects.update(scheduled_plan=high, scheduled_at=fresh(subscription).period_ends_at)
    renewal.renew_due(at("2025-12-01"))
    assert (totals(subscription), used(subscription)) == ([31, 31, money("46.5")], 1)
    assert_sound(subscription)


def test_an_amount_is_for_its_currency(low: Plan) -> None:
    euro = make_plan("euro", 45, 2, currency="EUR")
    subscription = redeemed(low, amount=money(10), currency="EUR")
    renewal.renew_due(END)
    Subscription.objects.update(scheduled_plan=euro, scheduled_at=fresh(subscription).period_ends_at)
    renewal.renew_due(at("2025-12-01"))
    assert (totals(subscription), used(subscription)) == ([31, 31, 35], 1)


def test_an_amount_above_the_price_leaves_nothing_to_pay(low: Plan) -> None:
    subscription = redeemed(low, amount=money(100), currency="USD")
    renewal.renew_due(END)
    last = invoices(subscription)[-1]
    assert (lines(last), last.total, last.status) == ([("base", 31), ("discount", -31)], 0, "paid")
    assert_sound(subscription)


@pytest.mark.parametrize(
    ("currency", "price", "net"), [("JPY", 100, "67"), ("KWD", "10.001", "6.668"), ("USD", "0.05", "0.03")]
)
def test_a_third_off_in_other_currencies(currency: str, price: Any, net: str) -> None:
    subscription = redeemed(make_plan("other", price, currency=currency), percent=money("33.33"))
    renewal.renew_due(END)
    assert invoices(subscription)[-1].total == money(net)
    assert_sound(subscription)


def test_what_it_has_no_cent_of_uses_none() -> None:
    subscription = redeemed(make_plan("tiny", 1, currency="JPY"), percent=money("33.33"), periods=1)
    renewal.renew_due(END)
    assert (totals(subscription), used(subscription)) == ([1, 1], 0)


def test_the_first_of_what_follows_an_end(high: Plan) -> None:
    make_plan("cheap", 10, 0, is_default=True)
    subscription = redeemed(high, periods=1)
    staff_ending.preview_end(subscription.account_id, MIDDLE, credit=True)
    assert used(subscription) == 0, "a preview uses nothing"
    preview = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=False)
    staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, preview.digest, credit=False)
    follows = Subscription.objects.live().get()
    assert (totals(follows), used(follows)) == ([5], 1)
    assert_sound(follows)


def test_one_that_was_parked_and_released(low: Plan, settings: Any) -> None:
    subscription = redeemed(low, periods=2)
    settings.LARGEST_INVOICE = 10
    renewal.renew_due(at("2025-12-01"))
    assert (fresh(subscription).is_parked, used(subscription)) == (True, 0)
    releasing.release(fresh(subscription), at("2026-01-01"))
    assert (totals(subscription), used(subscription)) == ([31, HALF, HALF, 31], 2)
    assert_sound(subscription)


def test_one_that_was_parked_as_it_was_opened(high: Plan, settings: Any) -> None:
    settings.LARGEST_INVOICE = 40
    account = make_subscription(make_plan("free", 0), START).account_id
    make_coupon(periods=1)
    redeeming.redeem(account, "SPRING", START)
    Subscription.objects.update(status="canceled", ended_at=MIDDLE)
    subscription = opening.subscribe(account, high, MIDDLE)
    assert (subscription.is_parked, used(subscription)) == (True, 1)
    releasing.release(subscription, MIDDLE)
    assert (totals(subscription), used(subscription)) == ([money("46.5")], 1)


def test_a_dry_run_uses_nothing(low: Plan) -> None:
    subscription = redeemed(low, periods=1)
    report = renewal.dry_run(at("2025-12-01"))
    assert (report.amounts, used(subscription)) == ({"USD": HALF + 31}, 0)
    assert renewal.renew_due(at("2025-12-01")).amounts == report.amounts


def test_a_batch_asks_for_all_of_its_accounts_at_once(low: Plan) -> None:
    coupon = make_coupon(periods=1)
    asked = []
    for count in (4, 40):
        many_due(count, low)
        due = Subscription.objects.due(END)
        for account in due.values_list("account", flat=True)[: count // 2]:
            CouponRedemption.objects.create(account_id=account, coupon=coupon, redeemed_at=START, periods_left=1)
        with CaptureQueriesContext(connection) as queries:
            renewal.renew_due(END)
        asked.append(len(queries))
        assert not CouponRedemption.objects.active().exists()
        User.objects.filter(username__startswith="due").update(
            username=Concat(Value("old"), "pk", output_field=CharField())
        )
    assert asked[0] == asked[1]
    assert BillingPeriod.objects.filter(coupon=coupon, discount=HALF).count() == 22


@pytest.mark.django_db(transaction=True)
def test_two_beats_use_it_once(low: Plan, monkeypatch: Any) -> None:
    monkeypatch.setattr(renewal, "BATCH", 3)
    coupon = make_coupon(periods=2)
    many_due(20, low)
    for account in Subscription.objects.values_list("account", flat=True):
        CouponRedemption.objects.create(account_id=account, coupon=coupon, redeemed_at=START, periods_left=2)
    answers = at_once(*[lambda: renewal.renew_due(at("2026-01-01"))] * 3)
    assert not [answer for answer in answers if isinstance(answer, Exception) or answer.failed], answers
    assert set(CouponRedemption.objects.values_list("periods_used", "periods_left")) == {(2, 0)}
    assert BillingPeriod.objects.filter(coupon=coupon, discount=HALF, number__in=(1, 2)).count() == 40
    assert BillingPeriod.objects.exclude(discount=0).count() == 40
