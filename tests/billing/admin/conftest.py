"""A subscription whose first invoice is open."""

from __future__ import annotations

import pytest
from django.utils import timezone
from freezegun import freeze_time

from billing.models import Plan, Subscription
from tests.factories import make_subscription


@pytest.fixture
def sold(catalogue: None) -> Subscription:
    """Bob is on starter since 2025-11-01; his first invoice, of 29.00 USD, is open."""
    with freeze_time("2025-11-01"):
        return make_subscription(Plan.objects.get(code="starter"), timezone.now(), "bob")
