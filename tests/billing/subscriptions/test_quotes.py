"""A quote's digest is equal exactly as long as the change shows and bills the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from billing.invoicing import credit_notes
from billing.models import Capability, Plan, Subscription
from billing.subscriptions import changes, quotes, refusals
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import fresh, invoices, pay_in_full
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END, MIDDLE = at("2025-10-01"), at("2025-11-01"), at("2025-10-16")
LATER = MIDDLE + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def nothing_in_use(settings: Any) -> None:
    settings.BILLING_ACTIVE_FEATURES = "tests.billing.subscriptions.test_changes_downgrade.no_features"


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 93, 3)


def digest(subscription: Subscription, code: str = "high") -> str:
    target = Plan.objects.get(code=code)
    return quotes.quote(fresh(subscription).current_period(), target, MIDDLE).digest()


def set_price(subscription: Subscription) -> None:
    plan = Plan.objects.get(code="high")
    plan.price = money(94)
    plan.save()


def set_quota(subscription: Subscription) -> None:
    Plan.objects.filter(code="high").update(monthly_token_quota=7)


def set_own_rate(subscription: Subscription) -> None:
    Plan.objects.filter(code="low").update(requests_per_minute=7)


def rename(subscription: Subscription) -> None:
    Plan.objects.filter(code="high").update(name="Higher")


def add_capability(subscription: Subscription) -> None:
    Plan.objects.get(code="high").capabilities.add(Capability.objects.create(code="search"))


def schedule(subscription: Subscription) -> None:
    changes.downgrade_with_effective_date(subscription.account_id, make_plan("free", 0), MIDDLE)


def change_plan(subscription: Subscription) -> None:
    changes.upgrade(subscription.account_id, make_plan("middle", 62, 2), MIDDLE)


def pay(subscription: Subscription) -> None:
    pay_in_full(invoices(subscription)[0], MIDDLE)


def credit(subscription: Subscription) -> None:
    credit_notes.credit(invoices(subscription)[0], money(1), "sorry", MIDDLE)


@pytest.mark.parametrize(
    "change",
    [set_price, set_quota, set_own_rate, rename, add_capability, schedule, change_plan, pay, credit],
)
def test_what_would_be_shown_otherwise_changes_the_digest(
    low: Plan, high: Plan, change: Callable[[Subscription], None]
) -> None:
    subscription = make_subscription(low, START)
    before = digest(subscription)
    assert digest(subscription) == before
    change(subscription)
    assert digest(subscription) != before


def test_another_target_instant_or_subscription_has_another_digest(low: Plan, high: Plan) -> None:
    subscription, other = make_subscription(low, START), make_subscription(low, START)
    make_plan("twin", 93, 3)
    period = subscription.current_period()
    later = quotes.quote(period, high, MIDDLE + timedelta(microseconds=1)).digest()
    digests = {digest(subscription), digest(subscription, "twin"), digest(other), later}
    assert len(digests) == 4


def test_what_others_do_leaves_it_alone(low: Plan, high: Plan) -> None:
    subscription, other = make_subscription(low, START), make_subscription(low, START)
    before = digest(subscription)
    changes.upgrade(other.account_id, high, MIDDLE)
    pay(other)
    assert digest(subscription) == before


def test_a_renewal_in_between_that_the_quote_foresaw_leaves_it_alone(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    digests = []
    for _ in range(2):
        with transaction.atomic():
            period = changes.locked(subscription.account_id, END).current_period()
            digests.append(quotes.quote(period, high, END).digest())
            transaction.set_rollback(True)
        renewal.renew_due(END)
    assert digests[0] == digests[1]


def test_an_upgrade_with_the_digest_that_was_shown(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    shown = quotes.quote(subscription.current_period(), high, MIDDLE)
    pay(subscription)
    with refuses(refusals.QuoteExpired, "subscription was changed"):
        changes.upgrade(subscription.account_id, high, LATER, MIDDLE, shown.digest() + "x")
    changed = changes.upgrade(subscription.account_id, high, LATER, MIDDLE, digest(subscription))
    assert (changed.invoice.total, changed.proration) == (shown.proration.net, shown.proration)


def test_a_digest_of_before_a_payment_is_refused(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    before = digest(subscription)
    pay(subscription)
    with refuses(refusals.QuoteExpired, "subscription was changed"):
        changes.upgrade(subscription.account_id, high, LATER, MIDDLE, before)
    assert len(invoices(subscription)) == 1


def test_a_digest_does_not_make_a_quote_last_longer(low: Plan, high: Plan) -> None:
    subscription = make_subscription(low, START)
    late = MIDDLE + quotes.HOLDS_FOR + timedelta(microseconds=1)
    with refuses(refusals.QuoteExpired, "older than 15 minutes"):
        changes.upgrade(subscription.account_id, high, late, MIDDLE, digest(subscription))
