"""A customer of a plan that sells tokens above its quota."""

from __future__ import annotations

import pytest

from billing.models import Plan, Subscription
from tests.billing.metered import make_metered
from tests.factories import at, make_subscription


@pytest.fixture
def metered() -> Plan:
    return make_metered()


@pytest.fixture
def subscription(metered: Plan) -> Subscription:
    return make_subscription(metered, at("2025-10-01"))
