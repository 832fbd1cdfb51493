"""The price list of these tests, at full amounts a month."""

from __future__ import annotations

import pytest

from billing.models import Plan
from tests.factories import make_plan


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
