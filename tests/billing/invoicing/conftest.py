"""Plans, one of which was sold, and a seller whose customers pay tax."""

from __future__ import annotations

import pytest

from billing.models import Plan, Seller, Subscription
from tests.factories import at, make_plan, make_rate, make_seller, make_subscription

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


@pytest.fixture
def plan() -> Plan:
    return make_plan("hundred", 100, 1)


@pytest.fixture
def higher() -> Plan:
    return make_plan("two-hundred", 200, 2)


@pytest.fixture
def germany(db: None) -> Seller:
    """A seller in Germany, whose customers there pay 19 %."""
    make_rate("DE", 19)
    make_rate("FR", 20, name="TVA")
    return make_seller()
