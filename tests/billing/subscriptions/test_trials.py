"""Trials: who gets one and what it costs, once in an account's life, and what ends it early."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError

from billing.invoicing import ledger
from billing.models import BillingPeriod, Plan, Subscription
from billing.subscriptions import canceling, changes, opening, previews, quotes, refusals
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import changes as staff_changes
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import assert_explained, assert_tiled, fresh, hand_over, invoices, lines
from tests.billing.subscriptions.moving import move_all
from tests.billing.subscriptions.trials import enforced, live, periods
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db
START, NOW, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-10-30 09:30:00")
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
NOBODY_USES_ANYTHING: frozenset[str] = frozenset()


class TestItsBeginning:
    def test_an_upgrade_from_a_free_period_costs_nothing_for_its_days(self, free: Plan, pro: Plan) -> None:
        subscription = make_subscription(free, START)
        quote = previews.calculate_proration(subscription.account_id, pro, NOW)
        changed = changes.upgrade(subscription.account_id, pro, NOW + 700_000 * MICROSECOND)
        assert (quote.proration.net, quote.trial_ends_at, quote.target_cost) == (0, END, 62)
        assert (changed.proration, changed.trial_ends_at) == (quote.proration, END)
        assert (changed.period.start, changed.period.end) == (NOW, END)
        row = fresh(subscription)
        assert (row.plan, row.anchor, row.anchor_number, row.period_ends_at) == (pro, END, 2, END)
        assert periods(row) == [("Free", 0, NOW), ("Trial of Pro", 0, END)]
        assert (changed.invoice, invoices(row)) == (None, []), "nothing is billed"
        assert enforced(row, NOW) == "pro"
        assert_tiled(row)
        assert_explained(row)

    def test_it_can_be_skipped(self, free: Plan, pro: Plan) -> None:
        subscription = make_subscription(free, START)
        quote = previews.calculate_proration(subscription.account_id, pro, NOW, trial=False)
        changed = changes.upgrade(subscription.account_id, pro, NOW, trial=False)
        assert (quote.proration.net, quote.trial_ends_at) == (32, None)
        assert (changed.proration, changed.trial_ends_at) == (quote.proration, None)

    def test_the_first_subscription_on_the_default_plan_begins_with_its(self) -> None:
        basic = make_plan("basic", 5, is_default=True, trial_days=14)
        user = get_user_model().objects.create_user("new")
        subscription = opening.get_or_open_subscription(user.pk, NOW)
        assert periods(subscription) == [("Trial of Basic", 0, END)]
        assert not invoices(subscription)
        assert current_subscription(user.pk, NOW).next_invoice_amount == basic.price
        renewal.renew_due(END)
        assert [lines(invoice) for invoice in invoices(subscription)] == [[("base", 5)]]
        assert_tiled(subscription)

    def test_a_later_one_does_not(self, free: Plan) -> None:
        """Also where the first was another plan's, before this one became the default."""
        subscription = make_subscription(free, START)
        get_user_model().objects.update(is_active=False)
        renewal.renew_due(at("2025-11-01"))
        get_user_model().objects.update(is_active=True)
        Plan.objects.update(is_default=False)
        make_plan("basic", 5, is_default=True, trial_days=14)
        again = opening.get_or_open_subscription(subscription.account_id, at("2025-12-01"))
        assert (again.trial_ends_at, len(invoices(again))) == (None, 1)

    def test_who_has_no_subscription_gets_one_by_choosing_the_plan(self, pro: Plan) -> None:
        user = get_user_model().objects.create_user("new")
        quote = previews.calculate_proration(user.pk, pro, NOW)
        changed = changes.upgrade(user.pk, pro, NOW)
        assert (quote.proration.net, quote.trial_ends_at, changed.trial_ends_at) == (0, END, END)
        assert (changed.invoice, changed.previous_plan) == (None, None)
        assert_tiled(changed.subscription)

    def test_who_pays_upgrades_as_always(self, low: Plan, pro: Plan) -> None:
        subscription = make_subscription(low, START)
        quote = previews.calculate_proration(subscription.account_id, pro, NOW)
        changed = changes.upgrade(subscription.account_id, pro, NOW)
        assert (quote.trial_ends_at, changed.trial_ends_at, changed.proration.net) == (None, None, 16)

    @pytest.mark.parametrize("way", ["staff", "scheduled", "what follows an end"])
    def test_nothing_else_begins_one(self, free: Plan, low: Plan, pro: Plan, way: str) -> None:
        subscription = make_subscription(free if way == "staff" else low, START)
        account = subscription.account_id
        if way == "staff":
            shown = staff_changes.preview_change(account, pro, NOW)
            done = staff_changes.change_plan(account, pro, NOW, NOW, shown.digest)
            assert (done.quote.trial_days, done.quote.proration.net) == (0, 32)
        else:
            Plan.objects.update(is_default=False)
            if way == "scheduled":
                Plan.objects.filter(pk=pro.pk).update(upgrade_mode="next_period")
                changes.downgrade_with_effective_date(account, Plan.objects.get(pk=pro.pk), NOW, NOBODY_USES_ANYTHING)
            else:
                Plan.objects.filter(pk=pro.pk).update(is_default=True)
                canceling.cancel(account, NOW)
            renewal.renew_due(at("2025-11-01"))
            assert live(subscription).plan == pro
        assert not BillingPeriod.objects.filter(is_trial=True).exists()

    def test_what_was_quoted_holds_as_long_as_the_plans_trial_is_the_same(self, free: Plan, pro: Plan) -> None:
        """One who was shown a trial is not billed for the plan."""
        for name, value in (("trial_days", 0), ("trial_days", 30), ("trial_needs_payment_method", True)):
            subscription = make_subscription(free, START)
            plan = make_plan(f"pro{subscription.pk}", 62, 2, trial_days=14)
            setattr(plan, name, value)
            plan.save()
            with pytest.raises(refusals.QuoteExpired):
                changes.upgrade(subscription.account_id, plan, NOW + SECOND, quoted_at=NOW)
        subscription = make_subscription(free, START)
        changed = changes.upgrade(subscription.account_id, pro, NOW + timedelta(minutes=15), quoted_at=NOW)
        assert changed.trial_ends_at == END + timedelta(minutes=15)


class TestOnce:
    """An account never has a second one."""

    def again(self, account: int, now: datetime) -> quotes.Quote:
        """What an upgrade to another plan with a trial costs, which is what it bills."""
        other = make_plan("other", 93, 9, trial_days=30)
        quote = previews.calculate_proration(account, other, now)
        changed = changes.upgrade(account, other, now)
        assert (changed.trial_ends_at, quote.trial_ends_at, quote.proration) == (None, None, changed.proration)
        return quote

    def test_by_canceling(self, on_trial: Subscription, free: Plan) -> None:
        canceling.cancel(on_trial.account_id, NOW)
        renewal.renew_due(END)
        assert live(on_trial).plan == free
        assert self.again(on_trial.account_id, END).proration.net == 93

    def test_by_switching(self, on_trial: Subscription) -> None:
        assert self.again(on_trial.account_id, NOW + SECOND).proration.net == 93

    def test_by_switching_in_its_very_second(self, on_trial: Subscription) -> None:
        self.again(on_trial.account_id, NOW + 999_999 * MICROSECOND)
        row = fresh(on_trial)
        assert periods(row) == [("Free", 0, NOW), ("Other", 93, at("2025-11-16 09:30:00"))]
        assert (row.trial_ends_at, row.trial_notice_at, row.is_on_trial) == (NOW, None, False)
        assert_tiled(row)
        hand_over(row, Plan.objects.get(code="free"), NOW + 2 * SECOND)
        changed = changes.upgrade(row.account_id, Plan.objects.get(code="pro"), NOW + 3 * SECOND)
        assert changed.trial_ends_at is None

    def test_by_going_down_to_a_free_plan(self, on_trial: Subscription, free: Plan) -> None:
        hand_over(on_trial, free, NOW + timedelta(days=1))
        assert self.again(on_trial.account_id, NOW + timedelta(days=2)).proration.net > 0

    def test_by_an_end_at_once_without_anything_to_follow(self, on_trial: Subscription) -> None:
        Plan.objects.update(is_default=False)
        shown = staff_ending.preview_end(on_trial.account_id, NOW, credit=True)
        staff_ending.end_now(on_trial.account_id, NOW, NOW, shown.digest, credit=True)
        assert self.again(on_trial.account_id, NOW + SECOND).proration.net == 93

    def test_the_database_holds_it(self, on_trial: Subscription) -> None:
        with pytest.raises(IntegrityError, match="subscription_one_trial"):
            Subscription.objects.create(
                account=on_trial.account,
                plan=on_trial.plan,
                status="canceled",
                anchor=END,
                created_at=NOW,
                changed_at=NOW,
                ended_at=END,
                period_ends_at=END,
                trial_ends_at=END,
            )


class TestWithin:
    @pytest.mark.parametrize("mode", ["prorate", "full_period"])
    def test_an_upgrade_ends_it_and_begins_a_period_in_full(self, on_trial: Subscription, mode: str) -> None:
        target, now = make_plan("high", 93, 3, upgrade_mode=mode), NOW + timedelta(days=3)
        quote = previews.calculate_proration(on_trial.account_id, target, now)
        changed = changes.upgrade(on_trial.account_id, target, now)
        assert (quote.proration.net, changed.proration) == (93, quote.proration)
        row = fresh(on_trial)
        ends = at("2025-11-19 09:30:00")
        assert periods(row) == [("Free", 0, NOW), ("Trial of Pro", 0, now), ("High", 93, ends)]
        assert (row.trial_ends_at, row.trial_notice_at, row.anchor) == (now, None, now)
        assert current_subscription(row.account_id, now).trial_ends_at is None
        assert_tiled(row)
        assert_explained(row)

    def test_one_that_waits_for_the_periods_end_follows_the_trial(self, on_trial: Subscription) -> None:
        waiting = make_plan("waiting", 93, 3, upgrade_mode="next_period")
        with pytest.raises(ValueError, match="next_period"):
            changes.upgrade(on_trial.account_id, waiting, NOW)
        changes.downgrade_with_effective_date(on_trial.account_id, waiting, NOW, NOBODY_USES_ANYTHING)
        renewal.renew_due(END)
        assert fresh(on_trial).plan == waiting

    def test_the_same_plan_again_and_a_cheaper_one_are_no_upgrades(self, on_trial: Subscription, pro: Plan) -> None:
        cheaper = make_plan("cheaper", 61, 2)
        for target in (pro, cheaper):
            with pytest.raises(refusals.NotAnUpgrade):
                changes.upgrade(on_trial.account_id, target, NOW + SECOND)

    @pytest.mark.parametrize("code", ["high", "low", "free"])
    def test_staff_change_it_either_way_at_the_full_price(
        self, on_trial: Subscription, low: Plan, high: Plan, code: str
    ) -> None:
        target, now = Plan.objects.get(code=code), NOW + timedelta(days=3)
        changed = hand_over(on_trial, target, now)
        row = fresh(on_trial)
        assert (changed.proration.credit, changed.proration.net) == (0, target.price)
        assert (row.plan, row.anchor, row.trial_ends_at) == (target, now, now)
        assert_tiled(row)
        assert_explained(row)

    @pytest.mark.parametrize("credit", [True, False])
    def test_staff_end_it_at_once_and_nothing_is_credited(
        self, on_trial: Subscription, free: Plan, credit: bool
    ) -> None:
        account, now = on_trial.account_id, NOW + timedelta(days=3)
        shown = staff_ending.preview_end(account, now, credit=credit)
        ended = staff_ending.end_now(account, now, now, shown.digest, credit=credit)
        assert (ended.credit, ended.then, live(on_trial).anchor) == (0, free, now)
        assert ledger.balance(account, "USD") == 0

    def test_one_of_many_that_are_moved_keeps_the_price_of_its_plan(self, on_trial: Subscription, pro: Plan) -> None:
        """Not that of its trial, which would be nothing for ever."""
        move_all(on_trial, make_plan("best", 93, 9), "at_period_end", NOW)
        assert current_subscription(on_trial.account_id, NOW).next_invoice_amount == pro.price
        renewal.renew_due(END)
        assert lines(invoices(on_trial)[-1]) == [("base", 62)]

    def test_a_year_may_be_tried_too(self, free: Plan) -> None:
        yearly = make_plan("yearly", 310, 1, interval="year", trial_days=14)
        subscription = make_subscription(free, START)
        changes.upgrade(subscription.account_id, yearly, NOW)
        renewal.renew_due(END)
        assert fresh(subscription).period_ends_at == at("2026-10-30 09:30:00")
        assert_tiled(subscription)
