"""What a database holds is brought along by the migrations that need it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from billing.models import InvoiceLine, MoneyIn, Payment, Plan, Subscription
from billing.subscriptions import changes
from tests.billing.ledger import assert_explained, fresh, invoices, pay
from tests.effort import long_only
from tests.factories import at, make_plan, make_subscription, money

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


@long_only(34, "an upgrade of a site with data")
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


@long_only(19, "an upgrade of a site with data")
def test_payments_become_money_that_was_noted_by_hand(low: Plan, old_database: Any) -> None:
    one, other = make_subscription(low, at("2025-10-01")), make_subscription(low, at("2025-10-02"))
    (first,), (second,) = invoices(one), invoices(other)
    pay(first, money(10), at("2025-10-05"), "bank-1")
    pay(first, money(21), at("2025-10-06"), "bank-2")
    pay(second, money(31), at("2025-10-07"), "bank-3")
    with connection.cursor() as cursor:  # as it could be told before: references were unique for an invoice only
        cursor.execute("ALTER TABLE billing_payment DISABLE TRIGGER keep")
        cursor.execute("UPDATE billing_payment SET reference = 'bank-1' WHERE reference = 'bank-3'")
        cursor.execute("ALTER TABLE billing_payment ENABLE TRIGGER keep")
    old_database([("billing", "0029_indexes_of_lists")])
    call_command("migrate", verbosity=0)
    rows = MoneyIn.objects.order_by("pk").values_list("account", "invoice", "amount", "reference", "received_at")
    assert list(rows) == [
        (one.account_id, first.pk, 10, "bank-1", at("2025-10-05")),
        (one.account_id, first.pk, 21, "bank-2", at("2025-10-06")),
        (other.account_id, second.pk, 31, "bank-1 (INV-000002)", at("2025-10-07")),
    ]
    assert {(money_in.source, money_in.currency, money_in.to_balance) for money_in in MoneyIn.objects.all()} == {
        ("manual", "USD", 0)
    }
    for subscription in (one, other):
        assert_explained(subscription)
    late = pay(second, money(5), at("2025-10-08"), "bank-4")
    assert late.pk > max(pk for (pk,) in MoneyIn.objects.exclude(pk=late.pk).values_list("pk"))
    with pytest.raises(DatabaseError), transaction.atomic():
        Payment.objects.update(amount=1)
