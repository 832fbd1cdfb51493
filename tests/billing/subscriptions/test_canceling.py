"""The end of a subscription: with its period, at once with or without a credit, and what follows it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model

from billing.invoicing import ledger
from billing.models import Plan, Subscription
from billing.outbox.models import OutboxMessage
from billing.subscriptions import canceling, changes, refusals
from billing.subscriptions.current import current_subscription
from billing.subscriptions.period_end import renewal
from billing.subscriptions.staff import ending as staff_ending
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16"), at("2025-11-01")


def live(subscription: Subscription) -> Subscription:
    return Subscription.objects.live().select_related("plan").get(account=subscription.account_id)


def kinds(subscription: Subscription) -> list[str]:
    rows = OutboxMessage.objects.filter(account_id=subscription.account_id).order_by("pk")
    return [kind.removeprefix("subscription.") for kind in rows.values_list("kind", flat=True)]


class TestWithItsPeriod:
    def test_it_ends_there_and_the_default_plan_follows(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        canceled = canceling.cancel(subscription.account_id, MIDDLE)
        assert (canceled.at, canceled.then) == (END, free)
        assert renewal.renew_due(END - timedelta(microseconds=1)).ended == 0
        assert renewal.renew_due(END).ended == 1
        ended, follows = fresh(subscription), live(subscription)
        assert (ended.status, ended.ended_at, ended.plan) == ("canceled", END, low)
        assert (follows.plan, follows.anchor, follows.period_ends_at) == (free, END, at("2025-12-01"))
        assert kinds(subscription) == ["opened", "invoice.issued", "cancel_scheduled", "ended", "opened"]
        assert_tiled(ended)
        assert_tiled(follows)
        assert_explained(ended)

    def test_months_late_what_follows_has_caught_up_and_what_it_costs_is_billed(self, low: Plan) -> None:
        basic = make_plan("basic", 5, is_default=True)
        subscription = make_subscription(low, START)
        canceling.cancel(subscription.account_id, MIDDLE)
        late = at("2026-01-15")
        foreseen = current_subscription(subscription.account_id, late)
        assert (foreseen.plan, foreseen.unbilled, foreseen.next_invoice_amount) == (basic, 15, 5)
        done = renewal.renew_due(late)
        assert (done.ended, done.renewed, done.periods, done.invoices) == (1, 0, 3, 3)
        follows = live(subscription)
        assert [lines(invoice) for invoice in invoices(follows)] == [[("base", 5)]] * 3
        assert (foreseen.period.starts_at, foreseen.period.ends_at) == (
            follows.current_period().starts_at,
            follows.current_period().ends_at,
        )
        assert_tiled(follows)
        assert_explained(follows)

    def test_what_follows_may_be_billed_in_another_rhythm_and_currency(self, low: Plan) -> None:
        yearly = make_plan("yearly", 100, is_default=True, interval="year", currency="EUR")
        subscription = make_subscription(low, START)
        pay_in_full(invoices(subscription)[0], START)
        canceling.cancel(subscription.account_id, MIDDLE)
        renewal.renew_due(END)
        follows = live(subscription)
        assert (follows.plan, follows.period_ends_at) == (yearly, at("2026-11-01"))
        assert [invoice.currency for invoice in invoices(follows)] == ["EUR"]

    def test_where_what_follows_looks_wrong_staff_look_first(self, low: Plan, settings: object) -> None:
        make_plan("dear", 50_000, is_default=True)
        subscription = make_subscription(low, START)
        canceling.cancel(subscription.account_id, MIDDLE)
        done = renewal.renew_due(END)
        assert (done.parked, done.ended, done.invoices) == ([subscription.pk], 0, 0)

    def test_a_deactivated_user_is_followed_by_nothing(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        canceling.cancel(subscription.account_id, MIDDLE)
        get_user_model().objects.update(is_active=False)
        assert renewal.renew_due(END).ended == 1
        assert Subscription.objects.count() == 1

    def test_taken_back(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        canceling.cancel(subscription.account_id, MIDDLE, "dear")
        canceling.withdraw(subscription.account_id, MIDDLE)
        assert (renewal.renew_due(END).renewed, fresh(subscription).cancel_reason) == (1, "")
        assert "cancel_withdrawn" in kinds(subscription)
        with pytest.raises(refusals.NothingScheduled):
            canceling.withdraw(subscription.account_id, END)

    def test_asked_twice_it_is_told_once(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        for reason in ("dear", "very dear"):
            canceling.cancel(subscription.account_id, MIDDLE, reason)
        assert (kinds(subscription).count("cancel_scheduled"), fresh(subscription).cancel_reason) == (1, "very dear")

    def test_what_is_due_ends_before_anything_else_is_done(self, low: Plan, high: Plan, free: Plan) -> None:
        """An upgrade after the end is one from the default plan, also while the renewal is late."""
        subscription = make_subscription(low, START)
        canceling.cancel(subscription.account_id, MIDDLE)
        changed = changes.upgrade(subscription.account_id, high, at("2025-11-16"))
        assert (changed.previous_plan, changed.subscription.anchor) == (free, END)
        assert fresh(subscription).status == "canceled"

    def test_the_default_plan_is_not_canceled(self, free: Plan) -> None:
        subscription = make_subscription(free, START)
        with pytest.raises(refusals.NothingToCancel):
            canceling.cancel(subscription.account_id, MIDDLE)


class TestAtOnce:
    """By staff, as they were shown it."""

    @pytest.mark.parametrize(("credit", "amount"), [(True, 16), (False, 0)])
    def test_paid_it_leaves_the_rest_as_balance_or_not(self, low: Plan, free: Plan, credit: bool, amount: int) -> None:
        subscription = make_subscription(low, START)
        pay_in_full(invoices(subscription)[0], START)
        shown = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=credit)
        assert (fresh(subscription).is_live, len(invoices(subscription))) == (True, 1)
        ended = staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, shown.digest, credit=credit)
        assert (ended.credit, ended.then, shown.documents.balance) == (amount, free, amount)
        row, follows = fresh(subscription), live(subscription)
        assert (row.status, row.ended_at) == ("canceled", MIDDLE)
        assert (follows.plan, follows.anchor) == (free, MIDDLE)
        assert ledger.balance(subscription.account_id, "USD") == amount
        assert [lines(invoice) for invoice in invoices(row)[1:]] == ([[("credit", -16)]] if credit else [])
        assert_explained(row)

    def test_unpaid_it_lowers_what_is_due(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        shown = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=True)
        staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, shown.digest, credit=True)
        assert (invoices(subscription)[0].due, ledger.balance(subscription.account_id, "USD")) == (money(15), 0)
        assert_explained(subscription)

    def test_amounts_hold_for_fifteen_minutes_and_not_beyond_a_change(self, low: Plan, free: Plan) -> None:
        subscription = make_subscription(low, START)
        account, minute = subscription.account_id, timedelta(minutes=1)
        before_midnight = at("2025-10-16 23:59:00")
        shown = staff_ending.preview_end(account, before_midnight, credit=True)
        with pytest.raises(refusals.QuoteExpired):
            staff_ending.end_now(account, before_midnight + 16 * minute, before_midnight, shown.digest, credit=True)
        with pytest.raises(refusals.QuoteExpired):
            staff_ending.end_now(account, before_midnight + minute, before_midnight, shown.digest, credit=False)
        make_plan("other", 1, is_default=False)
        pay_in_full(invoices(subscription)[0], before_midnight)
        with pytest.raises(refusals.QuoteExpired):
            staff_ending.end_now(account, before_midnight + minute, before_midnight, shown.digest, credit=True)
        assert fresh(subscription).is_live
        shown = staff_ending.preview_end(account, before_midnight, credit=True)
        ended = staff_ending.end_now(account, before_midnight + 2 * minute, before_midnight, shown.digest, credit=True)
        assert ended.credit == 16

    def test_without_a_default_plan_nothing_follows(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        shown = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=False)
        ended = staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, shown.digest, credit=False)
        assert (ended.then, Subscription.objects.live().exists()) == (None, False)

    def test_a_scheduled_change_is_dropped(self, high: Plan, low: Plan, free: Plan) -> None:
        subscription = make_subscription(high, START)
        changes.downgrade_with_effective_date(subscription.account_id, low, START, frozenset())
        shown = staff_ending.preview_end(subscription.account_id, MIDDLE, credit=False)
        staff_ending.end_now(subscription.account_id, MIDDLE, MIDDLE, shown.digest, credit=False)
        assert fresh(subscription).scheduled_plan is None
        assert (renewal.renew_due(END).changed, live(subscription).plan) == (0, free)
