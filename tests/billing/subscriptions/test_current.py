"""What a change of plan does to the next call: the fence, the usage window, and terms that stay as they were sold."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing.entitlements import snapshots
from billing.models import Fence, Plan, Subscription
from billing.subscriptions import changes
from billing.subscriptions.period_end import renewal
from ratelimit import process_state
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END, MIDDLE = at("2025-10-01"), at("2025-11-01"), at("2025-10-16")
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def nothing_in_use(settings: Any) -> None:
    settings.BILLING_ACTIVE_FEATURES = "tests.billing.subscriptions.test_changes_downgrade.no_features"


class TestTermsOfAPlanInUse:
    @pytest.mark.parametrize("edit", [{"currency": "EUR"}, {"interval": "year"}, {"quota_window": "billing_period"}])
    @pytest.mark.parametrize("who", ["subscribed", "ended", "scheduled", "period"])
    def test_they_are_kept_by_the_form_and_by_the_database(
        self, low: Plan, high: Plan, edit: dict[str, str], who: str
    ) -> None:
        subscription = make_subscription(high if who == "scheduled" else low, START)
        if who == "ended":
            Subscription.objects.update(status=Subscription.Status.CANCELED, ended_at=START)
        if who == "scheduled":
            changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)
        if who == "period":
            renewal.renew_due(END)
            changes.upgrade(subscription.account_id, high, END)
        for name, value in edit.items():
            setattr(low, name, value)
        with pytest.raises(Exception, match="Add another plan instead"):
            low.clean()
        with pytest.raises(DatabaseError, match="add another plan"), transaction.atomic():
            Plan.objects.filter(pk=low.pk).update(**edit)

    def test_a_plan_that_nobody_had_is_free_to_change(self, low: Plan) -> None:
        Plan.objects.filter(pk=low.pk).update(currency="EUR", interval="year", quota_window="billing_period")
        low.refresh_from_db()
        low.currency, low.interval, low.quota_window = "USD", "month", "calendar_month"
        low.clean()


class TestFence:
    def versions(self, subscription: Subscription) -> int:
        return Fence.objects.get(subject=subscription.account_id).version

    def test_each_change_that_a_call_sees_raises_it(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(middle, START)
        account, seen = subscription.account_id, [self.versions(subscription)]
        for change in (
            lambda: changes.upgrade(account, high, MIDDLE),
            lambda: changes.downgrade_with_effective_date(account, low, MIDDLE),
            lambda: changes.cancel_scheduled_change(account, MIDDLE),
            lambda: changes.downgrade_with_effective_date(account, low, MIDDLE),
            lambda: renewal.renew_due(END),
        ):
            change()
            seen.append(self.versions(subscription))
        assert all(before < after for before, after in itertools.pairwise(seen))

    def test_a_plain_renewal_leaves_it_alone(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        before = self.versions(subscription)
        low.price = money(99)
        low.save()
        renewal.renew_due(END)
        assert self.versions(subscription) == before


class TestWindow:
    """It is the same however late the close runs."""

    def window(self, subscription: Subscription, now: datetime) -> tuple[datetime, datetime]:
        process_state.start_anew()
        window = snapshots.snapshot(subscription.account_id, round(now.timestamp() * 1000)).entitlement.window
        return window.start, window.end

    @pytest.mark.parametrize(
        ("before", "after"), [("billing_period", "calendar_month"), ("calendar_month", "billing_period")]
    )
    def test_with_a_paid_period_begins_a_window(self, before: str, after: str) -> None:
        start, end = at("2025-10-10"), at("2025-11-10")
        old, new = make_plan("old", 9, 2, quota_window=before), make_plan("new", 5, 1, quota_window=after)
        subscription = make_subscription(old, start)
        changes.downgrade_with_effective_date(subscription.account_id, new, start)
        instants = [
            end - MICROSECOND * 1000,
            end,
            at("2025-11-20"),
            at("2025-11-30 23:59:59"),
            at("2025-12-01"),
            at("2025-12-11"),
        ]
        late = [self.window(subscription, now) for now in instants]
        renewal.renew_due(end)
        assert [self.window(subscription, now) for now in instants[1:]] == late[1:]
        assert late[1] == (end, at("2025-12-01" if after == "calendar_month" else "2025-12-10"))

    def test_the_kind_in_force_outlives_several_changes(self) -> None:
        start, now = at("2025-10-10"), at("2025-10-20")
        plans = [
            make_plan(f"p{rank}", rank, rank, quota_window=kind)
            for rank, kind in enumerate(["calendar_month", "billing_period", "calendar_month"], start=1)
        ]
        subscription = make_subscription(plans[0], start)
        october = (at("2025-10-01"), at("2025-11-01"))
        for plan in plans[1:]:
            changes.upgrade(subscription.account_id, plan, now)
            assert self.window(subscription, now) == october
        assert self.window(subscription, at("2025-11-01")) == (at("2025-11-01"), at("2025-12-01"))
