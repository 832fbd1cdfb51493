"""A subscription with an open invoice."""

from __future__ import annotations

import pytest

from billing.models import Subscription
from tests.factories import at, make_plan, make_subscription


@pytest.fixture
def sold() -> Subscription:
    """Since 2025-10-01; its invoice, of 99.00 USD, is open."""
    return make_subscription(make_plan("p", 99), at("2025-10-01"))
