"""Quotes that hold for a while; downgrades that are scheduled, refused, replaced and cancelled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from freezegun import freeze_time

from billing.api.sentences import to_customer
from billing.invoicing import credit_notes
from billing.models import Plan, Subscription
from billing.subscriptions import changes, opening, refusals
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import fresh, invoices
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END, MIDDLE = at("2025-10-01"), at("2025-11-01"), at("2025-10-16")
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def nothing_in_use(settings: Any) -> None:
    settings.BILLING_ACTIVE_FEATURES = "tests.billing.subscriptions.test_changes_downgrade.no_features"


def no_features(account: int, now: datetime) -> set[str]:
    return set()


def two_features(account: int, now: datetime) -> set[str]:
    return {"investigator", "ai_agents"}


class TestQuote:
    def quote(self, subscription: Subscription, target: Plan, quoted_at: datetime, now: datetime) -> Any:
        return changes.upgrade(subscription.account_id, target, now, quoted_at)

    def test_the_amounts_are_the_previews(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        evening = at("2025-10-16 23:59:00")
        changed = self.quote(subscription, high, evening, evening + timedelta(minutes=15))
        assert (changed.invoice.total, changed.proration.days_remaining) == (32, 16)

    def test_it_holds_for_fifteen_minutes(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        with refuses(refusals.QuoteExpired, "older than 15 minutes"):
            self.quote(subscription, high, MIDDLE, MIDDLE + timedelta(minutes=15) + MICROSECOND)
        with refuses(refusals.QuoteExpired, "future"):
            self.quote(subscription, high, MIDDLE + MICROSECOND, MIDDLE)

    def test_a_new_price_voids_it(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        with freeze_time(MIDDLE + timedelta(minutes=1)):
            high.price = money(99)
            high.save()
        with refuses(refusals.QuoteExpired, "price was changed"):
            self.quote(subscription, high, MIDDLE, MIDDLE + timedelta(minutes=2))
        self.quote(subscription, high, MIDDLE + timedelta(minutes=1), MIDDLE + timedelta(minutes=2))

    def test_a_changed_subscription_voids_it(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        changes.upgrade(subscription.account_id, middle, MIDDLE + MICROSECOND)
        with refuses(refusals.QuoteExpired, "subscription was changed"):
            self.quote(subscription, high, MIDDLE, MIDDLE + timedelta(minutes=1))

    def test_the_end_of_the_period_voids_it(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(low, START)
        with refuses(refusals.QuoteExpired, "subscription was changed"):
            self.quote(subscription, high, END - MICROSECOND, END)

    def test_a_credited_or_voided_invoice_voids_it(self, low: Plan, high: Plan) -> None:
        minute = timedelta(minutes=1)
        subscription = make_subscription(low, START)
        credit_notes.credit(invoices(subscription)[0], money(20), "outage", MIDDLE + minute)
        with refuses(refusals.QuoteExpired, "credited"):
            self.quote(subscription, high, MIDDLE, MIDDLE + minute)
        other = make_subscription(low, START)
        credit_notes.void(invoices(other)[0], MIDDLE + minute)
        with refuses(refusals.QuoteExpired, "credited"):
            self.quote(other, high, MIDDLE, MIDDLE + minute)


class TestDowngrade:
    def test_it_is_scheduled_for_the_periods_end_and_nothing_else_changes(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        scheduled = changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)
        assert (scheduled.plan, scheduled.scheduled_plan, scheduled.scheduled_at) == (high, low, END)
        assert len(invoices(subscription)) == 1

    def test_another_target_replaces_it(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)
        changes.downgrade_with_effective_date(subscription.account_id, middle, MIDDLE)
        assert fresh(subscription).scheduled_plan == middle

    def test_only_a_lower_plan_on_sale_will_do(self, low: Plan, middle: Plan, high: Plan) -> None:
        subscription = make_subscription(middle, START)
        for target in (middle, high):
            with pytest.raises(refusals.NotADowngrade):
                changes.downgrade_with_effective_date(subscription.account_id, target, MIDDLE)
        low.archived_at = START
        low.save()
        with pytest.raises(refusals.NotADowngrade):
            changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)

    def test_features_in_use_stand_against_it(self, customer: Any, settings: Any) -> None:
        dave = customer("dave", "business")
        settings.BILLING_ACTIVE_FEATURES = "tests.billing.subscriptions.test_changes_downgrade.two_features"
        community, starter = Plan.objects.get(code="community"), Plan.objects.get(code="starter")
        with pytest.raises(refusals.ActiveFeatures) as refused:
            changes.downgrade_with_effective_date(dave.account, community, timezone.now())
        assert to_customer(refused.value) == "Cannot downgrade. Active features: ai_agents, investigator"
        assert refused.value.capabilities == ["ai_agents", "investigator"]
        with refuses(refusals.ActiveFeatures, r"features: ai_agents$"):
            changes.downgrade_with_effective_date(dave.account, starter, timezone.now())
        assert opening.get_or_open_subscription(dave.account, timezone.now()).scheduled_plan is None

    def test_it_is_cancelled_once(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)
        changes.cancel_scheduled_change(subscription.account_id, MIDDLE)
        with pytest.raises(refusals.NothingScheduled):
            changes.cancel_scheduled_change(subscription.account_id, MIDDLE)
        renewal.renew_due(END)
        assert fresh(subscription).plan == high

    def test_too_late_to_cancel_what_is_in_force(self, low: Plan, high: Plan) -> None:
        """The clock decides, not the beat: nobody has closed the period yet."""
        subscription = make_subscription(high, START)
        changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE)
        with pytest.raises(refusals.NothingScheduled):
            changes.cancel_scheduled_change(subscription.account_id, END)
        with transaction.atomic():
            assert changes.locked(subscription.account_id, END).plan == low
        assert invoices(subscription)[-1].total == 31

    def test_a_parked_account_is_left_alone(self, low: Plan, high: Plan) -> None:
        subscription = make_subscription(high, START)
        Subscription.objects.filter(pk=subscription.pk).update(parked_at=MIDDLE)
        for change in (
            lambda: changes.downgrade_with_effective_date(subscription.account_id, low, MIDDLE),
            lambda: changes.cancel_scheduled_change(subscription.account_id, MIDDLE),
            lambda: changes.upgrade(subscription.account_id, make_plan("top", 999, 9), MIDDLE),
        ):
            with pytest.raises(refusals.UnderReview):
                change()
