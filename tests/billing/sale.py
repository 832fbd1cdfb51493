"""Plans in other currencies and intervals than the default catalogue's, and customers without a limit a minute."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.models import LimitOverride, Plan
from tests.cast import Customer


def sell(code: str, price: str, **terms: Any) -> Plan:
    """A plan on sale, above the default ones unless `rank` says otherwise."""
    plan = Plan(code=code, name=code.capitalize(), price=Decimal(price), **{"rank": 500} | terms)
    plan.save()
    return plan


def lift_minute(customer: Customer) -> Customer:
    LimitOverride(account=customer.user, limit=LimitOverride.Name.MINUTE).save()
    return customer


def priced_long_ago() -> None:
    """As if no price had been edited since long before a test's clock."""
    Plan.objects.update(priced_at=datetime(2020, 1, 1, tzinfo=UTC))
