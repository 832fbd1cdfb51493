"""What a database holds is brought along by the migrations that need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from billing.models import InvoiceLine, Plan, Subscription
from billing.subscriptions import changes
from tests.billing.ledger import fresh
from tests.factories import at, make_plan, make_subscription

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE_ENDS = [("billing", "0011_usage_windows_apart")]


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def old_database() -> Iterator[Any]:
    """Takes the tables back to a migration; afterwards they are as they were."""
    yield lambda target: MigrationExecutor(connection).migrate(target)
    call_command("migrate", verbosity=0)


def test_lines_find_the_periods_they_were_sold_in_and_ends_get_their_date(low: Plan, old_database: Any) -> None:
    high = make_plan("high", 62, 2)
    sold, gone = make_subscription(low, at("2025-10-01")), make_subscription(low, at("2025-10-01"))
    changes.upgrade(sold.account_id, high, at("2025-10-16"))
    Subscription.objects.filter(pk=gone.pk).update(status="canceled", ended_at=gone.period_ends_at)
    old_database(BEFORE_ENDS)
    call_command("migrate", verbosity=0)
    assert fresh(gone).ended_at == gone.period_ends_at
    period = sold.periods.get()
    lines = InvoiceLine.objects.filter(invoice__subscription=sold)
    assert {line.billing_period_id for line in lines} == {period.pk}
    assert [line.kind for line in lines.order_by("pk")] == ["base", "credit", "charge"]
    assert InvoiceLine.objects.of_period(period).net() == 47
