"""What a coupon does to what is billed: periods that open, upgrades in each mode, staff's changes, ends, credits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import CharField, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from billing.invoicing import credit_notes
from billing.models import BillingPeriod, CouponRedemption, Plan, Subscription
from billing.subscriptions import (
    changes,
    coupons,
    opening,
    parking,
    quotes,
    refusals,
    renewal,
    staff_changes,
    staff_ending,
)
from billing.subscriptions.current import current_subscription
from tests.billing.closers import many_due
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full
from tests.billing.subscriptions.test_renewal_concurrency import at_once
from tests.factories import at, make_coupon, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-11-01")
HALF = money("15.5")


def redeemed(plan: Plan, since: Any = START, now: Any = MIDDLE, **terms: Any) -> Subscription:
    """A customer of the plan who redeems a coupon in the middle of a period."""
    make_coupon(**terms)
    subscription = make_subscription(plan, since)
    coupons.redeem(subscription.account_id, "SPRING", now)
    return subscription


def used(subscription: Subscription) -> int:
    return CouponRedemption.objects.get(account=subscription.account_id).periods_used


def totals(subscription: Subscription) -> list[Any]:
    return [invoice.total for invoice in invoices(subscription)]


def assert_sound(subscription: Subscription) -> None:
    assert_tiled(subscription)
    assert_explained(subscription)


class TestPeriodsThatOpen:
    @pytest.mark.parametrize(("periods", "discounted"), [(1, 1), (3, 3), (None, 5)])
    @pytest.mark.parametrize("beat", ["monthly", "months late"])
    def test_as_many_as_it_says(self, low: Plan, periods: int | None, discounted: int, beat: str) -> None:
        subscription = redeemed(low, periods=periods)
        beats = [END, at("2025-12-01"), at("2026-01-01"), at("2026-02-01"), at("2026-03-01")]
        for now in beats if beat == "monthly" else beats[-1:]:
            renewal.renew_due(now)
        assert totals(subscription) == [31, *[HALF] * discounted, *[31] * (5 - discounted)]
        assert lines(invoices(subscription)[1]) == [("base", 31), ("discount", -HALF)]
        assert invoices(subscription)[1].lines.get(kind="discount").description == "SPRING: 50 % off"
        assert used(subscription) == discounted
        assert_sound(subscription)

    def test_a_price_of_nothing_uses_none(self, free: Plan, low: Plan) -> None:
        subscription = redeemed(free, periods=1)
        renewal.renew_due(END)
        assert used(subscription) == 0
        changes.upgrade(subscription.account_id, low, END)
        assert (totals(subscription), used(subscription)) == ([HALF], 1)

    def test_one_that_it_is_not_for_uses_none(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low, periods=1, plans=[high])
        renewal.renew_due(END)
        assert (totals(subscription), used(subscription)) == ([31, 31], 0)
        Subscription.objects.update(scheduled_plan=high, scheduled_at=fresh(subscription).period_ends_at)
        renewal.renew_due(at("2025-12-01"))
        assert (totals(subscription), used(subscription)) == ([31, 31, money("46.5")], 1)
        assert_sound(subscription)

    def test_an_amount_is_for_its_currency(self, low: Plan) -> None:
        euro = make_plan("euro", 45, 2, currency="EUR")
        subscription = redeemed(low, amount=money(10), currency="EUR")
        renewal.renew_due(END)
        Subscription.objects.update(scheduled_plan=euro, scheduled_at=fresh(subscription).period_ends_at)
        renewal.renew_due(at("2025-12-01"))
        assert (totals(subscription), used(subscription)) == ([31, 31, 35], 1)

    def test_an_amount_above_the_price_leaves_nothing_to_pay(self, low: Plan) -> None:
        subscription = redeemed(low, amount=money(100), currency="USD")
        renewal.renew_due(END)
        last = invoices(subscription)[-1]
        assert (lines(last), last.total, last.status) == ([("base", 31), ("discount", -31)], 0, "paid")
        assert_sound(subscription)

    @pytest.mark.parametrize(
        ("currency", "price", "net"), [("JPY", 100, "67"), ("KWD", "10.001", "6.668"), ("USD", "0.05", "0.03")]
    )
    def test_a_third_off_in_other_currencies(self, currency: str, price: Any, net: str) -> None:
        subscription = redeemed(make_plan("other", price, currency=currency), percent=money("33.33"))
        renewal.renew_due(END)
        assert invoices(subscription)[-1].total == money(net)
        assert_sound(subscription)

    def test_what_it_has_no_cent_of_uses_none(self) -> None:
        subscription = redeemed(make_plan("tiny", 1, currency="JPY"), percent=money("33.33"), periods=1)
        renewal.renew_due(END)
        assert (totals(subscription), used(subscription)) == ([1, 1], 0)

    def test_the_first_of_what_follows_an_end(self, high: Plan) -> None:
        make_plan("cheap", 10, 0, is_default=True)
        subscription = redeemed(high, periods=1)
        staff_ending.preview_end(subscription.account_id, MIDDLE, credit=True)
        assert used(subscription) == 0, "a preview uses nothing"
        preview = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=False)
        staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, preview.digest, credit=False)
        follows = Subscription.objects.live().get()
        assert (totals(follows), used(follows)) == ([5], 1)
        assert_sound(follows)

    def test_one_that_was_parked_and_released(self, low: Plan, settings: Any) -> None:
        subscription = redeemed(low, periods=2)
        settings.LARGEST_INVOICE = 10
        renewal.renew_due(at("2025-12-01"))
        assert (fresh(subscription).is_parked, used(subscription)) == (True, 0)
        parking.release(fresh(subscription), at("2026-01-01"))
        assert (totals(subscription), used(subscription)) == ([31, HALF, HALF, 31], 2)
        assert_sound(subscription)

    def test_one_that_was_parked_as_it_was_opened(self, high: Plan, settings: Any) -> None:
        settings.LARGEST_INVOICE = 40
        account = make_subscription(make_plan("free", 0), START).account_id
        make_coupon(periods=1)
        coupons.redeem(account, "SPRING", START)
        Subscription.objects.update(status="canceled", ended_at=MIDDLE)
        subscription = opening.subscribe(account, high, MIDDLE)
        assert (subscription.is_parked, used(subscription)) == (True, 1)
        parking.release(subscription, MIDDLE)
        assert (totals(subscription), used(subscription)) == ([money("46.5")], 1)

    def test_a_dry_run_uses_nothing(self, low: Plan) -> None:
        subscription = redeemed(low, periods=1)
        report = renewal.dry_run(at("2025-12-01"))
        assert (report.amounts, used(subscription)) == ({"USD": HALF + 31}, 0)
        assert renewal.renew_due(at("2025-12-01")).amounts == report.amounts

    def test_a_batch_asks_for_all_of_its_accounts_at_once(self, low: Plan) -> None:
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
    def test_two_beats_use_it_once(self, low: Plan, monkeypatch: Any) -> None:
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


class TestChangesOfPlan:
    def test_in_the_middle_of_a_period_that_has_none(self, low: Plan, high: Plan) -> None:
        """The charge is net of it, the credit is of what the old plan was billed with."""
        subscription = redeemed(low, periods=1)
        shown = quotes.calculate_proration(subscription.account_id, high, MIDDLE)
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

    def test_in_a_period_that_has_one_it_stays(self, low: Plan, middle: Plan, high: Plan) -> None:
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

    def test_to_a_plan_it_is_not_for_and_on_to_one_that_it_is_for(self, low: Plan, middle: Plan, high: Plan) -> None:
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

    def test_a_change_that_begins_a_period_uses_one_of_it(self, low: Plan) -> None:
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

    def test_used_up_by_the_present_period_it_is_not_for_one_that_begins_later(self, low: Plan) -> None:
        yearly = make_plan("yearly", 310, 1, interval="year")
        subscription = redeemed(low, periods=1)
        renewal.renew_due(END)
        changed = changes.upgrade(subscription.account_id, yearly, at("2025-11-16"))
        assert changed.invoice and lines(changed.invoice) == [("credit", money("-7.75")), ("base", 310)]
        assert_sound(subscription)

    @pytest.mark.parametrize("seconds", [0, 3600])
    def test_of_which_nothing_is_used_it_goes_along(self, low: Plan, high: Plan, seconds: int) -> None:
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

    def test_given_up_it_discounts_no_further_change(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low)
        renewal.renew_due(END)
        coupons.give_up(subscription.account_id, END)
        changed = changes.upgrade(subscription.account_id, high, END)
        assert changed.invoice and lines(changed.invoice) == [("credit", -HALF), ("charge", 93)]
        assert_sound(subscription)

    def test_what_is_too_little_to_discount_uses_none(self, settings: Any) -> None:
        settings.PRORATION_GRANULARITY = "second"
        low, high = make_plan("low", 1, 1, currency="JPY"), make_plan("high", 3, 2, currency="JPY")
        subscription = redeemed(low, periods=1)
        changed = changes.upgrade(subscription.account_id, high, END - timedelta(seconds=1))
        assert (changed.proration.charge, changed.proration.discount, used(subscription)) == (0, 0, 0)

    def test_a_credit_note_and_a_later_change_give_back_no_more_than_was_billed(self, low: Plan, high: Plan) -> None:
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

    def test_a_voided_invoice_took_its_discount_along(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low)
        renewal.renew_due(END)
        credit_notes.void(invoices(subscription)[1], END)
        assert changes.upgrade(subscription.account_id, high, END).proration.credit == 0
        assert_sound(subscription)

    def test_an_end_credits_what_was_billed(self, low: Plan, free: Plan) -> None:
        subscription = redeemed(low)
        renewal.renew_due(END)
        preview = staff_ending.preview_end(subscription.account_id, END, credit=True)
        assert preview.credit == HALF
        assert_sound(subscription)

    def test_staff_change_and_see_it_first(self, low: Plan, high: Plan) -> None:
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
    def test_a_quote_ends_with_what_it_was_made_of(self, low: Plan, high: Plan, by_digest: bool, step: str) -> None:
        with freeze_time(START):
            subscription = redeemed(low, now=START, periods=1)
        later = MIDDLE + timedelta(minutes=5)
        shown = quotes.calculate_proration(subscription.account_id, high, MIDDLE).digest()
        with freeze_time(later):
            if step == "for other plans":
                CouponRedemption.objects.get().coupon.plans.set([low])
            else:
                coupons.give_up(subscription.account_id, later)
            if step == "another redeemed":
                make_coupon("MORE", percent=money(60))
                coupons.redeem(subscription.account_id, "MORE", later)
        with pytest.raises(refusals.QuoteExpired) as error:
            changes.upgrade(subscription.account_id, high, later, MIDDLE, shown if by_digest else None)
        assert error.value.parameters["reason"] == ("digest" if by_digest else "coupon")


class TestWhatIsForeseen:
    def test_the_next_invoice_is_net_of_it(self, low: Plan, high: Plan) -> None:
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
    def test_a_preview_of_a_later_instant(self, low: Plan, high: Plan, day: str, credit: str, discount: str) -> None:
        subscription = redeemed(low, periods=2)
        shown = quotes.calculate_proration(subscription.account_id, high, MIDDLE, at=at(day)).proration
        assert (shown.credit, shown.discount) == (money(credit), money(discount))
        changed = changes.upgrade(subscription.account_id, high, at(day))
        assert changed.proration == shown

    def test_as_if_it_were_redeemed_first(self, low: Plan, high: Plan) -> None:
        coupon = make_coupon(periods=1)
        subscription = make_subscription(low, START)
        account = subscription.account_id
        for now in (MIDDLE, END):  # at the second the renewal is late
            shown = quotes.calculate_proration(account, high, now, coupon=coupon)
            assert (shown.coupon, CouponRedemption.objects.count()) == (coupon, 0)
        coupons.redeem(account, "SPRING", END)
        assert changes.upgrade(account, high, END).proration == shown.proration
        assert_sound(subscription)

    def test_and_before_there_is_a_plan(self, low: Plan) -> None:
        account = User.objects.create_user("new").pk
        shown = quotes.calculate_proration(account, low, MIDDLE, coupon=make_coupon())
        assert (shown.proration.net, shown.coupon is not None) == (HALF, True)
        assert quotes.calculate_proration(account, low, MIDDLE).proration.net == 31

    def test_another_cycle_of_the_own_plan_is_as_the_period_was_sold(self, low: Plan, high: Plan) -> None:
        subscription = redeemed(low)
        renewal.renew_due(END)
        account, cycle = subscription.account_id, {"cycle_start": END, "cycle_end": at("2026-01-01")}
        shown = quotes.calculate_proration(account, high, END, **cycle)
        assert (shown.proration.credit, shown.proration.discount) == (HALF, money("46.5"))
        shown = quotes.calculate_proration(account, high, END, current=low, **cycle)
        assert (shown.proration.credit, shown.proration.discount) == (31, money("46.5")), "at list price"
