"""A trial that asks for a payment method goes on with a saved card that can be charged when it ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.models import PaymentMethod, Plan, ProviderCustomer, Subscription
from billing.payments.cards import methods
from billing.subscriptions import changes
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import fresh
from tests.billing.subscriptions.trials import enforced
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db
START, NOW, END = at("2025-10-01"), at("2025-10-16 09:30:00"), at("2025-10-30 09:30:00")
SECOND = timedelta(seconds=1)


@pytest.fixture
def asked(free: Plan, settings: Any) -> Subscription:
    settings.STRIPE_SECRET_KEY = "sk_test_ours"  # nothing is asked of Stripe here
    settings.BILLING_HAS_PAYMENT_METHOD = "billing.payments.cards.methods.accounts_with_a_card"
    plan = make_plan("asking", 62, 2, trial_days=14, trial_needs_payment_method=True)
    subscription = make_subscription(free, START)
    changes.upgrade(subscription.account_id, plan, NOW)
    return fresh(subscription)


def save_card(subscription: Subscription, saved_at: datetime) -> PaymentMethod:
    ours = {"account_id": subscription.account_id, "provider": "stripe", "is_live": False, "created_at": saved_at}
    ProviderCustomer.objects.create(reference="cus_1", **ours)
    card = {"reference": "pm_1", "brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2034}
    return PaymentMethod.objects.create(**card, **ours, is_default=True)


@pytest.mark.parametrize(
    ("saved_at", "about", "follows"),
    [
        (END - SECOND, {}, "asking"),
        (END, {}, "asking"),
        (END + SECOND, {}, "free"),
        (NOW, {"exp_year": 2025, "exp_month": 10}, "asking"),
        (NOW, {"exp_year": 2025, "exp_month": 9}, "free"),
        (NOW, {"is_live": True}, "free"),
    ],
    ids=["before", "at", "after", "last month", "expired", "of live mode"],
)
def test_what_follows(asked: Subscription, saved_at: datetime, about: dict[str, Any], follows: str) -> None:
    assert enforced(asked, NOW) == "asking"
    card = save_card(asked, saved_at)
    PaymentMethod.objects.filter(pk=card.pk).update(**about)
    assert enforced(asked, END) == follows
    assert renewal.renew_due(END + SECOND).renewed == (1 if follows == "asking" else 0)


@pytest.mark.parametrize(("removed_at", "follows"), [(END - SECOND, "free"), (END, "free"), (END + SECOND, "asking")])
def test_a_card_that_was_removed(asked: Subscription, removed_at: datetime, follows: str) -> None:
    card = save_card(asked, NOW)
    methods.remove(asked.account_id, card.pk, removed_at)
    assert enforced(asked, END) == follows
