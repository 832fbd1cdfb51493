"""Which writes make an account's terms of overage stale: its cap, and a period that sells on other terms."""

from __future__ import annotations

import pytest
from django.db.models import F

from billing.fence.push import fence_version
from billing.models import BillingPeriod, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.metered import make_metered
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END = at("2025-10-01"), at("2025-11-01")


def raised_by_a_renewal(plan: Plan, **edit: object) -> int:
    subscription = make_subscription(plan, START)
    Plan.objects.filter(pk=plan.pk).update(**edit)
    before = fence_version(subscription.account_id)
    assert renewal.renew_due(END).renewed == 1
    return fence_version(subscription.account_id) - before


def test_a_renewal_on_the_same_terms_changes_nothing_that_a_call_may_do() -> None:
    assert raised_by_a_renewal(make_metered(), price=40) == 0
    assert raised_by_a_renewal(make_plan("plain", 31), price=40) == 0


@pytest.mark.parametrize(("before", "after"), [(money(1), money(2)), (None, money(2)), (money(1), None)])
def test_a_renewal_on_other_terms_does(before: object, after: object) -> None:
    assert raised_by_a_renewal(make_metered(overage_price=before), overage_price=after) == 1


def test_of_a_batch_each_account_is_told() -> None:
    plan = make_metered()
    accounts = [make_subscription(plan, START).account_id for _ in range(3)]
    Plan.objects.filter(pk=plan.pk).update(overage_price=money(2))
    before = [fence_version(account) for account in accounts]
    renewal.renew_due(END)
    assert [fence_version(account) for account in accounts] == [version + 1 for version in before]


def test_a_cap_that_is_written_by_whatever_statement() -> None:
    subscription = make_subscription(make_metered(), START)
    before = fence_version(subscription.account_id)
    Subscription.objects.update(overage_cap_tokens=5)
    Subscription.objects.update(overage_cap_tokens=F("overage_cap_tokens"))
    assert fence_version(subscription.account_id) == before + 1


def test_a_period_knows_what_it_was_sold_for() -> None:
    plan = make_metered()
    subscription = make_subscription(plan, START)
    Plan.objects.filter(pk=plan.pk).update(overage_price=money(2))
    renewal.renew_due(END)
    prices = BillingPeriod.objects.filter(subscription=subscription).order_by("number")
    assert list(prices.values_list("overage_price", flat=True)) == [money("0.5"), 2]
