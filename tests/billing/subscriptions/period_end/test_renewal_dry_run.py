"""A dry run of the renewal is the renewal, rolled back: it says the same and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from freezegun import freeze_time

from billing.invoicing import credit_notes
from billing.models import (
    BalanceEntry,
    BillingPeriod,
    DocumentNumber,
    Fence,
    Invoice,
    InvoiceLine,
    Plan,
    Subscription,
)
from billing.subscriptions.period_end import renewal
from ratelimit.keys import AccountKeys
from tests.billing.closers import many_due
from tests.billing.ledger import invoices, pay_in_full
from tests.factories import at, make_plan, make_subscription, money
from tests.redis_commands import version_in_redis

pytestmark = pytest.mark.django_db(transaction=True)
START, END = at("2025-10-01"), at("2025-11-01")
TABLES = (Subscription, BillingPeriod, Invoice, InvoiceLine, BalanceEntry, DocumentNumber, Fence)


def everything() -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in TABLES]


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 93, 3)


def all_sorts(low: Plan, high: Plan) -> Subscription:
    """Nine that renew, of which three change, one that is parked and one that fails; returns one that changes."""
    many_due(6, high, low)
    with_balance = make_subscription(low, START)
    pay_in_full(invoices(with_balance)[0], START)
    credit_notes.credit(invoices(with_balance)[0], invoices(with_balance)[0].total, "sorry", START)
    make_subscription(make_plan("yen", 4000, currency="JPY"), START)
    make_subscription(make_plan("free", 0), START)
    make_subscription(make_plan("dear", 5000), START)  # parked below, when its next invoice is due
    faulty = make_subscription(high, START)
    faulty.periods.all().update(ends_at=at("2025-10-31"))
    return Subscription.objects.filter(scheduled_plan=low)[0]


@pytest.mark.parametrize("size", [500, 4])
def test_it_says_what_the_run_does(low: Plan, high: Plan, settings: Any, monkeypatch: Any, size: int) -> None:
    monkeypatch.setattr(renewal, "BATCH", size)
    all_sorts(low, high)
    settings.LARGEST_INVOICE = 4999
    steps: list[int] = []
    foreseen = renewal.dry_run(END, steps.append)
    assert (foreseen.renewed, foreseen.changed, len(foreseen.parked), len(foreseen.failed)) == (9, 3, 1, 1)
    assert foreseen.amounts == {"USD": 3 * 93 + 3 * 31 + 31, "JPY": 4000}, "before the balance is used"
    assert sum(steps) == 11
    assert foreseen == renewal.renew_due(END)


def test_it_leaves_nothing_behind(low: Plan, high: Plan, settings: Any, caplog: Any) -> None:
    changing = all_sorts(low, high)
    settings.LARGEST_INVOICE = 4999
    before, told = everything(), version_in_redis(AccountKeys(changing.account_id).fence.decode())
    caplog.clear()
    renewal.dry_run(END)
    assert everything() == before
    assert caplog.text == ""
    assert not connection.in_atomic_block
    assert version_in_redis(AccountKeys(changing.account_id).fence.decode()) == told


def test_a_run_logs_what_it_parks_and_what_fails_once(low: Plan, high: Plan, settings: Any, caplog: Any) -> None:
    all_sorts(low, high)
    settings.LARGEST_INVOICE = 4999
    caplog.clear()
    done = renewal.renew_due(END)
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("billing")]
    parked, failed = done.parked[0], next(iter(done.failed))
    assert sorted(messages) == sorted(
        [
            f"subscription {parked} is parked for staff: an invoice of 5000.00 USD is larger than 4999",
            f"subscription {failed} could not be renewed",
        ]
    )


def test_an_edited_price_counts_from_its_own_day(low: Plan) -> None:
    subscription = make_subscription(low, START)
    with freeze_time(START):
        low.save()
    with freeze_time("2025-11-15"):
        low.price = money(40)
        low.save()
    assert renewal.dry_run(at("2025-12-01")).amounts == {"USD": 31 + 40}
    assert len(invoices(subscription)) == 1
