"""Subscribe and upgrade: who is on which plan, and what it costs to get there."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, transaction

from billing.invoicing import credit_notes, ledger
from billing.models import Invoice, Plan, Subscription
from billing.rules.plan_change import CurrencyMismatch, IntervalMismatch
from billing.subscriptions import changes, opening, quotes, refusals
from billing.subscriptions.period_end import releasing, renewal
from billing.subscriptions.period_end.report import RenewalReport
from tests.billing.ledger import assert_explained, assert_tiled, fresh, hand_over, invoices, lines, pay_in_full
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END, MIDDLE = at("2025-10-01"), at("2025-11-01"), at("2025-10-16")
MICROSECOND = timedelta(microseconds=1)


class TestSubscribe:
    def test_the_first_period_starts_now_and_is_billed_in_advance(self, low: Plan) -> None:
        subscription = make_subscription(low, at("2025-01-31 12:00:00").replace(microsecond=123456))
        period = subscription.current_period()
        assert (period.starts_at, period.ends_at) == (at("2025-01-31 12:00:00"), at("2025-02-28 12:00:00"))
        (invoice,) = invoices(subscription)
        assert (lines(invoice), invoice.total) == ([("base", 31)], 31)

    def test_a_free_plan_has_no_invoice(self, free: Plan) -> None:
        assert invoices(make_subscription(free, START)) == []

    def test_an_account_has_one_live_subscription(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        with pytest.raises(DatabaseError), transaction.atomic():
            opening.subscribe(subscription.account_id, high, START)

    def test_the_default_plan_is_opened_on_first_use_once(self, free: Plan) -> None:
        user = get_user_model().objects.create_user("new")
        first = opening.get_or_open_subscription(user.pk, START)
        assert (first.plan, opening.get_or_open_subscription(user.pk, MIDDLE)) == (free, first)

    def test_without_a_default_plan_none_is_opened(self, low: Plan) -> None:
        user = get_user_model().objects.create_user("new")
        with pytest.raises(refusals.NoSubscription):
            opening.get_or_open_subscription(user.pk, START)

    def test_for_a_deactivated_user_none_is_opened(self, free: Plan) -> None:
        user = get_user_model().objects.create_user("gone", is_active=False)
        with pytest.raises(refusals.NoSubscription):
            opening.get_or_open_subscription(user.pk, START)
        assert not Subscription.objects.exists()

    def test_a_first_invoice_that_looks_wrong_waits_for_staff(self, settings: Any) -> None:
        settings.LARGEST_INVOICE = 100
        subscription = make_subscription(make_plan("dear", "100.01"), START)
        assert (subscription.parked_at, invoices(subscription)) == (START, [])
        done = releasing.release(subscription, MIDDLE)
        assert (done.invoices, [invoice.total for invoice in invoices(subscription)]) == (1, [money("100.01")])
        assert fresh(subscription).parked_at is None
        assert releasing.release(subscription, MIDDLE) == RenewalReport()


class TestUpgrade:
    def test_it_credits_the_rest_of_the_old_and_charges_the_rest_of_the_new(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        changed = changes.upgrade(subscription.account_id, high, MIDDLE)
        assert lines(changed.invoice) == [("credit", -16), ("charge", 48)]
        assert (changed.invoice.total, changed.proration.net, changed.previous_plan) == (32, 32, low)
        assert (changed.period.start, changed.period.end) == (START, END)
        live = fresh(subscription)
        assert (live.plan, live.anchor, live.period_ends_at) == (high, START, END)
        assert live.current_period().price == 93
        assert_explained(subscription)

    def test_the_issues_example(self) -> None:
        starter, pro = make_plan("starter", 29, 1), make_plan("pro", 49, 2)
        subscription = make_subscription(starter, at("2025-09-30"))
        subscription.periods.update(starts_at=at("2025-10-01"), ends_at=at("2025-10-31"))
        quoted = quotes.quote(subscription.current_period(), pro, MIDDLE).proration
        assert (quoted.credit, quoted.charge, quoted.net) == (money("14.50"), money("24.50"), money("10.00"))
        assert (quoted.days_remaining, quoted.days_total) == (15, 30)

    def test_from_a_free_plan_there_is_only_a_charge(self, free: Plan, low: Plan) -> None:
        subscription = make_subscription(free, START)
        changed = changes.upgrade(subscription.account_id, low, MIDDLE)
        assert (lines(changed.invoice), changed.invoice.status) == ([("charge", 16)], "open")
        assert_explained(subscription)

    def test_to_a_free_plan_of_higher_rank_there_is_no_invoice(self, free: Plan) -> None:
        subscription = make_subscription(free, START)
        changed = changes.upgrade(subscription.account_id, make_plan("trial", 0, 9), MIDDLE)
        assert (changed.invoice, fresh(subscription).plan.code, invoices(subscription)) == (None, "trial", [])

    def test_zero_invoices_can_be_asked_for(self, free: Plan, settings: Any) -> None:
        settings.ISSUE_ZERO_INVOICES = True
        subscription = make_subscription(free, START)
        changed = changes.upgrade(subscription.account_id, make_plan("trial", 0, 9), MIDDLE)
        renewal.renew_due(END)
        assert [lines(invoice) for invoice in invoices(subscription)] == [[("base", 0)], [("charge", 0)], [("base", 0)]]
        assert (changed.invoice.number, changed.invoice.status) == ("INV-000002", "paid")

    def test_a_higher_plan_that_costs_less_owes_the_customer(self, high: Plan) -> None:
        subscription = make_subscription(high, START)
        pay_in_full(invoices(subscription)[0], START)
        changed = changes.upgrade(subscription.account_id, make_plan("better", 31, 9), MIDDLE)
        assert (changed.invoice.total, ledger.balance(subscription.account_id, "USD")) == (-32, 32)
        assert_explained(subscription)

    @pytest.mark.parametrize("granularity", ["day", "second"])
    def test_the_first_second_costs_the_full_difference(
        self, low: Plan, high: Plan, settings: Any, granularity: str
    ) -> None:
        settings.PRORATION_GRANULARITY = granularity
        subscription = make_subscription(low, START)
        assert changes.upgrade(subscription.account_id, high, START).invoice.total == 62
        assert_explained(subscription)

    @pytest.mark.parametrize(("granularity", "total"), [("day", 2), ("second", 0)])
    def test_the_last_instant_is_still_in_the_period(
        self, low: Plan, high: Plan, settings: Any, granularity: str, total: int
    ) -> None:
        """By day the last day counts as remaining; by second nothing is left to charge."""
        settings.PRORATION_GRANULARITY = granularity
        subscription = make_subscription(low, START)
        changed = changes.upgrade(subscription.account_id, high, END - MICROSECOND)
        assert (changed.invoice.total if changed.invoice else 0, changed.period.end) == (total, END)
        assert_explained(subscription)
        renewal.renew_due(END)
        assert [invoice.total for invoice in invoices(subscription)] == [31, *([total] if total else []), 93]

    def test_at_the_end_the_next_period_is_open_first(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        changed = changes.upgrade(subscription.account_id, high, END)
        assert (changed.period.start, changed.invoice.total) == (END, 62)
        assert [invoice.total for invoice in invoices(subscription)] == [31, 31, 62]
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_by_second_the_second_counts(self, low: Plan, high: Plan, settings: Any) -> None:
        settings.PRORATION_GRANULARITY = "second"
        subscription = make_subscription(low, START)
        changed = changes.upgrade(subscription.account_id, high, at("2025-10-16 12:00:00"))
        assert lines(changed.invoice) == [("credit", money("-15.5")), ("charge", money("46.5"))]

    @pytest.mark.parametrize("paid", [True, False])
    @pytest.mark.parametrize("noted", ["0", "10", "25", "31"])
    def test_two_steps_cost_what_one_costs(self, low: Plan, middle: Plan, high: Plan, paid: bool, noted: str) -> None:
        totals = []
        for steps in ([high], [middle, high]):
            subscription = make_subscription(low, START)
            (base,) = invoices(subscription)
            if paid:
                pay_in_full(base, START)
            if money(noted):
                credit_notes.credit(base, money(noted), "outage", START)
            made = [changes.upgrade(subscription.account_id, plan, MIDDLE) for plan in steps]
            totals.append(sum(_billed(change.invoice) for change in made))
            assert_explained(subscription)
        assert totals[0] == totals[1]

    def test_the_credit_ends_at_what_was_billed_net_of_credit_notes(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        (base,) = invoices(subscription)
        credit_notes.credit(base, money(20), "outage", START)
        period = subscription.current_period()
        quoted = quotes.quote(period, high, MIDDLE).proration
        changed = changes.upgrade(subscription.account_id, high, MIDDLE)
        assert lines(changed.invoice) == [("credit", -11), ("charge", 48)]
        assert (quoted, quoted.net) == (changed.proration, 37)

    def test_what_is_scheduled_is_dropped(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(middle, START)
        changes.downgrade_with_effective_date(subscription.account_id, low, START)
        changes.upgrade(subscription.account_id, high, MIDDLE)
        renewal.renew_due(END)
        assert (fresh(subscription).plan, fresh(subscription).scheduled_plan) == (high, None)

    def test_only_a_higher_plan_on_sale_will_do(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(middle, START)
        for target in (low, middle):
            with pytest.raises(refusals.NotAnUpgrade):
                changes.upgrade(subscription.account_id, target, MIDDLE)
        high.archived_at = START
        high.save()
        with pytest.raises(refusals.NotAnUpgrade):
            changes.upgrade(subscription.account_id, high, MIDDLE)
        assert len(invoices(subscription)) == 1

    def test_another_currency_and_a_shorter_interval_can_only_follow(self) -> None:
        subscription = make_subscription(make_plan("yearly", 310, 1, interval="year"), START)
        with pytest.raises(CurrencyMismatch):
            changes.upgrade(subscription.account_id, make_plan("yen", 9000, 9, currency="JPY", interval="year"), MIDDLE)
        with pytest.raises(IntervalMismatch):
            changes.upgrade(subscription.account_id, make_plan("monthly", 900, 9), MIDDLE)
        with pytest.raises(IntervalMismatch):
            hand_over(subscription, Plan.objects.get(code="monthly"), MIDDLE)

    @pytest.mark.parametrize(
        ("currency", "old", "new", "credit", "charge"),
        [("JPY", "3100", "6205", "-1600", "3203"), ("KWD", "9.301", "15.125", "-4.801", "7.806")],
    )
    def test_every_currency_has_its_own_decimals(
        self, currency: str, old: str, new: str, credit: str, charge: str
    ) -> None:
        subscription = make_subscription(make_plan("a", old, 1, currency=currency), START)
        changed = changes.upgrade(subscription.account_id, make_plan("b", new, 2, currency=currency), MIDDLE)
        # 16 of 31 days: 6205 x 16 / 31 = 3202.58; 9.301 x 16 / 31 = 4.80051...; 15.125 x 16 / 31 = 7.80645...
        assert lines(changed.invoice) == [("credit", money(credit)), ("charge", money(charge))]
        assert_explained(subscription)

    def test_one_that_looks_wrong_does_not_go_out_unless_staff_have_looked(
        self, low: Plan, high: Plan, settings: Any
    ) -> None:
        subscription = make_subscription(low, START)
        settings.LARGEST_INVOICE = 61
        with refuses(refusals.UnderReview, "contact support"):
            changes.upgrade(subscription.account_id, high, START)
        assert (fresh(subscription).plan, len(invoices(subscription))) == (low, 1)
        settings.LARGEST_INVOICE = 62
        changes.upgrade(subscription.account_id, high, START)
        settings.LARGEST_INVOICE = 1
        quote = quotes.quote(changes.locked(subscription.account_id, START).current_period(), low, START)
        changed = changes.change_now(quote, START, reviewed=True)
        assert changed.invoice.total == -62

    def test_more_than_so_many_in_a_day_do_not_go_out(self, low: Plan, high: Plan, settings: Any) -> None:
        settings.MOST_INVOICES_A_DAY = 3
        subscription = make_subscription(low, START)
        hand_over(subscription, high, START)
        hand_over(subscription, low, START)
        with pytest.raises(refusals.UnderReview):
            hand_over(subscription, high, START + timedelta(days=1) - MICROSECOND)
        hand_over(subscription, high, START + timedelta(days=1))


def _billed(invoice: Invoice) -> Any:
    return invoice.lines.billed()
