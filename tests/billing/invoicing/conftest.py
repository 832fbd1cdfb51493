"""A subscription that was sold, and a lower plan."""

from __future__ import annotations

import pytest

from billing.models import Plan, Subscription
from tests.factories import at, make_plan, make_subscription

START = at("2025-10-01")


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 29, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 99, 2)


@pytest.fixture
def sold(high: Plan) -> Subscription:
    return make_subscription(high, START)
