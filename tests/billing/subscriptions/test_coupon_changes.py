"""Changes of plan with a coupon: what is billed in each mode, what staff do, what is credited, how a quote ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from billing.invoicing import credit_notes
from billing.models import BulkMove, CouponRedemption, Plan
from billing.subscriptions import changes, previews, refusals
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import changes as staff_changes
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.coupons import assert_sound, redeemed, totals, used
from tests.billing.ledger import fresh, invoices, lines, pay_in_full
from tests.factories import at, make_coupon, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
HALF = money("15.5")


def test_in_the_middle_of_a_period_that_has_none(low: Plan, high: Plan) -> None:
    """The charge is net of it, the credit is of what the old plan was billed with."""
    subscription = redeemed(low, periods=1)
    shown = previews.calculate_proration(subscription.account_id, high, MIDDLE)
    changed = changes.upgrade(subscription.account_id, high, MIDDLE)
    assert shown.proration == changed.proration
    assert changed.invoice and lines(changed.invoice) == [("credit", -16), ("charge", 48), ("discount", -24)]
    period = subscription.periods.get()
    assert (period.price, period.discount, period.net_price, used(subscription)) == (
        93,
        money("46.5"),
        money("46.5"),
        1,
    )
    renewal.renew_due(END)
    assert totals(subscription) == [31, 8, 93]
    assert_sound(subscription)


def test_in_a_period_that_has_one_it_stays(low: Plan, middle: Plan, high: Plan) -> None:
    subscription = redeemed(low, periods=1)
    renewal.renew_due(END)
    for plan, later in ((middle, "2025-11-11"), (high, "2025-11-21")):
        changes.upgrade(subscription.account_id, plan, at(later))
    _, base, second, third = invoices(subscription)
    assert lines(base) == [("base", 31), ("discount", -HALF)]
    assert lines(second) == [("credit", money("-10.33")), ("charge", money("41.33")), ("discount", money("-20.66"))]
    assert lines(third) == [("credit", money("-10.33")), ("charge", 31), ("discount", money("-15.5"))]
    assert used(subscription) == 1
    assert_sound(subscription)


def test_to_a_plan_it_is_not_for_and_on_to_one_that_it_is_for(low: Plan, middle: Plan, high: Plan) -> None:
    subscription = redeemed(low, periods=1, plans=[low, high])
    renewal.renew_due(END)
    changes.upgrade(subscription.account_id, middle, END)
    changes.upgrade(subscription.account_id, high, END)
    assert [lines(invoice) for invoice in invoices(subscription)[2:]] == [
        [("credit", -HALF), ("charge", 62)],
        [("credit", -62), ("charge", 93), ("discount", money("-46.5"))],
    ]
    assert used(subscription) == 1
    assert_sound(subscription)


def test_a_change_that_begins_a_period_uses_one_of_it(low: Plan) -> None:
    yearly = make_plan("yearly", 310, 1, interval="year")
    subscription = redeemed(low, periods=2)
    renewal.renew_due(END)
    changed = changes.upgrade(subscription.account_id, yearly, at("2025-11-16"))
    assert changed.invoice and lines(changed.invoice) == [
        ("credit", money("-7.75")),
        ("base", 310),
        ("discount", -155),
    ]
    assert used(subscription) == 2
    renewal.renew_due(at("2026-11-16"))
    assert totals(subscription)[-1] == 310
    assert_sound(subscription)


def test_used_up_by_the_present_period_it_is_not_for_one_that_begins_later(low: Plan) -> None:
    yearly = make_plan("yearly", 310, 1, interval="year")
    subscription = redeemed(low, periods=1)
    renewal.renew_due(END)
    changed = changes.upgrade(subscription.account_id, yearly, at("2025-11-16"))
    assert changed.invoice and lines(changed.invoice) == [("credit", money("-7.75")), ("base", 310)]
    assert_sound(subscription)


@pytest.mark.parametrize("seconds", [0, 3600])
def test_of_which_nothing_is_used_it_goes_along(low: Plan, high: Plan, seconds: int) -> None:
    """By day, all that it has discounted is credited until midnight."""
    full = make_plan("full", 124, 4, upgrade_mode="full_period")
    best = make_plan("best", 310, 5, upgrade_mode="full_period")
    subscription = redeemed(low, periods=1)
    for plan in (high, full, best):
        changes.upgrade(subscription.account_id, plan, MIDDLE + timedelta(seconds=seconds))
    assert [lines(invoice) for invoice in invoices(subscription)[1:]] == [
        [("credit", -16), ("charge", 48), ("discount", -24)],
        [("credit", -24), ("base", 124), ("discount", -62)],
        [("credit", -62), ("base", 310), ("discount", -155)],
    ]
    assert used(subscription) == 1
    changed = changes.upgrade(subscription.account_id, make_plan("top", 620, 6, upgrade_mode="full_period"), END)
    assert changed.proration.discount == 0, "half of its period was used"
    assert_sound(subscription)


def test_given_up_it_discounts_no_further_change(low: Plan, high: Plan) -> None:
    subscription = redeemed(low)
    renewal.renew_due(END)
    redeeming.give_up(subscription.account_id, END)
    changed = changes.upgrade(subscription.account_id, high, END)
    assert changed.invoice and lines(changed.invoice) == [("credit", -HALF), ("charge", 93)]
    assert_sound(subscription)


def test_what_is_too_little_to_discount_uses_none(settings: Any) -> None:
    settings.PRORATION_GRANULARITY = "second"
    low, high = make_plan("low", 1, 1, currency="JPY"), make_plan("high", 3, 2, currency="JPY")
    subscription = redeemed(low, periods=1)
    changed = changes.upgrade(subscription.account_id, high, END - timedelta(seconds=1))
    assert (changed.proration.charge, changed.proration.discount, used(subscription)) == (0, 0, 0)


def test_a_credit_note_and_a_later_change_give_back_no_more_than_was_billed(low: Plan, high: Plan) -> None:
    subscription = redeemed(low)
    renewal.renew_due(END)
    bill = invoices(subscription)[1]
    assert bill.creditable() == HALF
    pay_in_full(bill, END)
    credit_notes.credit(bill, money(10), "outage", END)
    assert invoices(subscription)[1].creditable() == money("5.5")
    changed = changes.upgrade(subscription.account_id, high, END)
    assert changed.proration.credit == money("5.5")
    assert_sound(subscription)


def test_a_voided_invoice_took_its_discount_along(low: Plan, high: Plan) -> None:
    subscription = redeemed(low)
    renewal.renew_due(END)
    credit_notes.void(invoices(subscription)[1], END)
    assert changes.upgrade(subscription.account_id, high, END).proration.credit == 0
    assert_sound(subscription)


def test_an_end_credits_what_was_billed(low: Plan, free: Plan) -> None:
    subscription = redeemed(low)
    renewal.renew_due(END)
    preview = staff_ending.preview_end(subscription.account_id, END, credit=True)
    assert preview.credit == HALF
    assert_sound(subscription)


def test_staff_change_and_see_it_first(low: Plan, high: Plan) -> None:
    subscription = redeemed(high, periods=1)
    shown = staff_changes.preview_change(subscription.account_id, low, MIDDLE)
    assert (shown.quote.coupon and shown.quote.coupon.code, used(subscription)) == ("SPRING", 0)
    done = staff_changes.change_plan(subscription.account_id, low, MIDDLE, MIDDLE, shown.digest)
    assert done.changed.invoice and lines(done.changed.invoice) == [
        ("credit", -48),
        ("charge", 16),
        ("discount", -8),
    ]
    assert used(subscription) == 1
    assert_sound(subscription)


@pytest.mark.parametrize("by_digest", [True, False])
@pytest.mark.parametrize("step", ["given up", "another redeemed", "for other plans"])
def test_a_quote_ends_with_what_it_was_made_of(low: Plan, high: Plan, by_digest: bool, step: str) -> None:
    with freeze_time(START):
        subscription = redeemed(low, now=START, periods=1)
    later = MIDDLE + timedelta(minutes=5)
    shown = previews.calculate_proration(subscription.account_id, high, MIDDLE).digest()
    with freeze_time(later):
        if step == "for other plans":
            CouponRedemption.objects.get().coupon.plans.set([low])
        else:
            redeeming.give_up(subscription.account_id, later)
        if step == "another redeemed":
            make_coupon("MORE", percent=money(60))
            redeeming.redeem(subscription.account_id, "MORE", later)
    with pytest.raises(refusals.QuoteExpired) as error:
        changes.upgrade(subscription.account_id, high, later, MIDDLE, shown if by_digest else None)
    assert error.value.parameters["reason"] == ("digest" if by_digest else "coupon")


class TestOfMany:
    def test_each_is_moved_net_of_its_coupon(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low, periods=1)
        make_subscription(low, START)
        move = tried(low, high)
        sums = moves.tally(move).sums
        assert (sums["credit"], sums["charge"], sums["total"]) == (32, 72, 40)
        assert used(subscription) == 0, "it was only tried"
        moves.confirm(move, MIDDLE)
        assert work.work_off(move, lambda: MIDDLE)
        assert (totals(subscription), used(subscription)) == ([31, 8], 1)
        assert_sound(subscription)

    def test_who_gave_it_up_since_is_left(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low)
        move = tried(low, high)
        redeeming.give_up(subscription.account_id, MIDDLE)
        moves.confirm(move, MIDDLE)
        assert work.work_off(move, lambda: MIDDLE)
        assert fresh(subscription).plan == low

    def test_a_price_that_is_kept_is_discounted(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low, periods=2)
        move = tried(low, high, keeps_price=True)
        moves.confirm(move, MIDDLE)
        assert work.work_off(move, lambda: MIDDLE)
        last = invoices(subscription)[-1]
        assert lines(last) == [("credit", -16), ("charge", 16), ("discount", -8)]
        assert current_subscription(subscription.account_id, MIDDLE).next_invoice_amount == HALF
        renewal.renew_due(END)
        assert totals(subscription)[-1] == HALF
        assert_sound(subscription)


def tried(source: Plan, target: Plan, *, keeps_price: bool = False) -> BulkMove:
    order = moves.Order(source, target, BulkMove.When.NOW, keeps_price, "retired")
    move = moves.begin(order, MIDDLE)
    assert work.work_off(move, lambda: MIDDLE)
    return move
