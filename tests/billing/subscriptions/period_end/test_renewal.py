"""The close of periods: renewals, missed periods, schedules, prices of their moment, failures, parking, tiling."""

from __future__ import annotations

import calendar
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from freezegun import freeze_time

from billing.invoicing import credit_notes
from billing.models import Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.models import OutboxMessage
from billing.subscriptions import changes, opening
from billing.subscriptions.period_end import renewal
from billing.subscriptions.period_end.report import RenewalReport
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, lines, pay_in_full, schedule
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END = at("2025-10-01"), at("2025-11-01")
MICROSECOND = timedelta(microseconds=1)


def test_a_period_is_closed_at_its_end_and_not_before(low: Plan) -> None:
    subscription = make_subscription(low, START)
    assert Subscription.objects.due(END - MICROSECOND).count() == 0
    assert renewal.renew_due(END - MICROSECOND) == RenewalReport()
    assert Subscription.objects.due(END).get() == subscription
    assert renewal.renew_due(END) == RenewalReport(renewed=1, periods=1, invoices=1, amounts={"USD": money(31)})
    assert renewal.renew_due(END) == RenewalReport()
    second = invoices(subscription)[1]
    assert (lines(second), second.issued_at) == ([("base", 31)], END)
    line = second.lines.get()
    assert (line.period_start, line.period_end) == (END, at("2025-12-01"))
    assert_tiled(subscription)
    assert_explained(subscription)


class TestDeactivatedUsers:
    """Nothing is billed to them from the end of their period on, also when they are back."""

    def deactivate(self, subscription: Subscription, is_active: bool = False) -> None:
        get_user_model().objects.filter(pk=subscription.account_id).update(is_active=is_active)

    def test_the_subscription_ends_with_its_period(self, low: Plan) -> None:
        gone, other = make_subscription(low, START), make_subscription(low, START)
        schedule(gone, make_plan("cheap", 12))
        self.deactivate(gone)
        assert renewal.renew_due(END - MICROSECOND) == RenewalReport()
        assert fresh(gone).is_live
        done = renewal.renew_due(END)
        assert (done.renewed, done.invoices, done.ended) == (1, 1, 1)
        assert (fresh(gone).status, fresh(gone).scheduled_plan) == ("canceled", None)
        assert (len(invoices(gone)), len(invoices(other))) == (1, 2)
        assert list(messages(gone)) == [{"subscription": gone.pk, "plan": "low"}]
        assert renewal.renew_due(at("2026-11-01")).ended == 0
        assert len(invoices(gone)) == 1
        assert_tiled(gone)
        assert_explained(gone)

    def test_whoever_is_back_before_it_ends_is_renewed(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        self.deactivate(subscription)
        self.deactivate(subscription, is_active=True)
        assert (renewal.renew_due(END).renewed, fresh(subscription).is_live) == (1, True)

    def test_whoever_is_back_later_begins_anew_and_owes_nothing_for_between(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        make_plan("free", 0, is_default=True)
        self.deactivate(subscription)
        renewal.renew_due(at("2025-12-15"))
        self.deactivate(subscription, is_active=True)
        opened = opening.get_or_open_subscription(subscription.account_id, at("2026-01-10"))
        assert (opened.plan.code, opened.anchor) == ("free", at("2026-01-10"))
        assert len(invoices(subscription)) == 1

    def test_a_dry_run_says_so_and_ends_nothing(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        self.deactivate(subscription)
        assert renewal.dry_run(END) == RenewalReport(ended=1)
        assert fresh(subscription).is_live


def messages(subscription: Subscription) -> Any:
    ended = OutboxMessage.objects.filter(kind=Happened.SUBSCRIPTION_ENDED, account_id=subscription.account_id)
    return ended.values_list("payload", flat=True)


def test_a_free_plan_is_renewed_without_an_invoice() -> None:
    subscription = make_subscription(make_plan("free", 0), START)
    assert renewal.renew_due(END) == RenewalReport(renewed=1, periods=1, invoices=0)
    assert invoices(subscription) == []


def test_a_balance_is_used_by_renewals_until_it_is_gone(low: Plan) -> None:
    subscription = make_subscription(low, START)
    pay_in_full(invoices(subscription)[0], START)
    credit_notes.credit(invoices(subscription)[0], money(31), "outage", START)
    plan = make_plan("cheap", 12)
    schedule(subscription, plan)
    renewal.renew_due(at("2026-01-01"))
    assert [(i.total, i.status) for i in invoices(subscription)[1:]] == [(0, "paid"), (0, "paid"), (5, "open")]
    assert_explained(subscription)


@pytest.mark.parametrize("day", [29, 30, 31])
def test_an_anchor_late_in_the_month_is_kept(low: Plan, day: int) -> None:
    subscription = make_subscription(low, at(f"2024-01-{day} 12:30:00"))
    renewal.renew_due(at("2025-04-15"))
    starts = [period.starts_at for period in subscription.periods.all()]
    for start in starts:
        assert start.day == min(day, calendar.monthrange(start.year, start.month)[1])
        assert (start.hour, start.minute) == (12, 30)
    assert len(starts) == 15
    assert_tiled(subscription)


def test_a_yearly_plan_on_the_leap_day() -> None:
    subscription = make_subscription(make_plan("yearly", 299, interval="year"), at("2024-02-29"))
    renewal.renew_due(at("2028-03-01"))
    starts = [f"{period.starts_at:%Y-%m-%d}" for period in subscription.periods.all()]
    assert starts == ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"]
    assert_tiled(subscription)


class TestMissedPeriods:
    """Nobody has closed anything for months: each period is sold as of its own moment."""

    def test_each_has_the_price_of_its_moment(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        with freeze_time("2025-10-01"):
            low.save()
        for moment, price in [("2025-11-15", 40), ("2025-12-01", 50), ("2026-01-01 00:00:01", 60)]:
            with freeze_time(moment):
                plan = Plan.objects.get(pk=low.pk)
                plan.price = money(price)
                plan.save()
        renewal.renew_due(at("2026-02-01"))
        # The edit in the instant in which a period starts counts for it, the one a second later does not.
        assert [period.price for period in subscription.periods.all()] == [31, 31, 50, 50, 60]
        assert [invoice.total for invoice in invoices(subscription)] == [31, 31, 50, 50, 60]
        assert {invoice.issued_at for invoice in invoices(subscription)[1:]} == {at("2026-02-01")}
        assert_tiled(subscription)

    def test_a_plan_without_a_history_that_old_cost_what_it_cost_first(self) -> None:
        with freeze_time("2026-05-01"):
            low = make_plan("low", 31)
        subscription = make_subscription(low, START)
        with freeze_time("2026-05-05"):
            low.price = money(77)
            low.save()
        renewal.renew_due(END)
        assert [invoice.total for invoice in invoices(subscription)] == [31, 31]

    def test_a_schedule_is_applied_in_its_place_once_at_the_price_of_its_moment(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        with freeze_time("2025-10-01"):
            low.save()
        renewal.renew_due(END)
        schedule(subscription, low)  # for December 1st
        with freeze_time("2025-12-15"):
            low.price = money(35)
            low.save()
        done = renewal.renew_due(at("2026-02-01"))
        amounts = {"USD": money(31 + 35 + 35)}
        assert done == RenewalReport(renewed=1, changed=1, periods=3, invoices=3, amounts=amounts)
        periods = [(period.plan.code, period.price) for period in subscription.periods.select_related("plan")]
        assert periods == [("high", 93), ("high", 93), ("low", 31), ("low", 35), ("low", 35)]
        live = fresh(subscription)
        assert (live.plan, live.scheduled_plan, live.scheduled_at) == (low, None, None)
        assert renewal.renew_due(at("2026-02-01")) == RenewalReport()
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_a_schedule_ahead_is_not_applied_early(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        Subscription.objects.filter(pk=subscription.pk).update(scheduled_plan=low, scheduled_at=at("2025-12-01"))
        assert renewal.renew_due(at("2025-12-01") - MICROSECOND).changed == 0
        assert fresh(subscription).scheduled_plan == low
        assert renewal.renew_due(at("2025-12-01")).changed == 1

    def test_an_archived_plan_goes_on_and_is_arrived_at(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        schedule(subscription, low)
        Plan.objects.update(archived_at=START)
        renewal.renew_due(at("2025-12-01"))
        assert [period.plan for period in subscription.periods.all()] == [high, low, low]

    def test_a_price_edit_does_not_reach_an_open_period(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        low.price = money(99)
        low.save()
        assert subscription.current_period().price == 31
        renewal.renew_due(END)
        assert subscription.periods.first().price == 31  # type: ignore[union-attr]


def test_a_late_beat_is_made_up_for_by_whoever_comes_first(low: Plan, high: Plan) -> None:
    subscription = make_subscription(high, START)
    schedule(subscription, low)
    with transaction.atomic():
        live = changes.locked(subscription.account_id, at("2025-12-10"))
    assert (live.plan, live.period_ends_at) == (low, at("2026-01-01"))
    assert [invoice.total for invoice in invoices(subscription)] == [93, 31, 31]
    assert renewal.renew_due(at("2025-12-10")) == RenewalReport()


def test_a_batch_costs_no_more_statements_than_one(low: Plan, high: Plan, django_assert_max_num_queries: Any) -> None:
    for n in range(30):
        subscription = make_subscription(high if n % 3 else low, START + timedelta(seconds=n))
        if n % 3 == 1:
            schedule(subscription, low)
    low.price = money(40)
    low.save()
    with django_assert_max_num_queries(35):
        done = renewal.renew_due(at("2025-12-15"))
    assert (done.renewed, done.changed, done.periods) == (30, 10, 60)
