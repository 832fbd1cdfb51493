"""The price list of these tests, at full amounts a month."""

from __future__ import annotations

import pytest

from billing.models import Plan, Subscription
from billing.subscriptions import changes
from tests.billing.ledger import fresh
from tests.factories import at, make_plan, make_subscription


@pytest.fixture
def free() -> Plan:
    """Whom nobody sold anything is on it."""
    return make_plan("free", 0, 0, is_default=True)


@pytest.fixture
def low() -> Plan:
    """A dollar a day in months of 31 days."""
    return make_plan("low", 31, 1)


@pytest.fixture
def middle() -> Plan:
    return make_plan("middle", 62, 2)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 93, 3)


@pytest.fixture
def pro() -> Plan:
    """It may be tried for two weeks."""
    return make_plan("pro", 62, 2, trial_days=14)


@pytest.fixture
def on_trial(free: Plan, pro: Plan) -> Subscription:
    """From October 16th, 9:30, on."""
    subscription = make_subscription(free, at("2025-10-01"))
    changes.upgrade(subscription.account_id, pro, at("2025-10-16 09:30:00"))
    return fresh(subscription)
