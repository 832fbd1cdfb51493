"""The month's money, beside the sums over all rows."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest

from billing.invoicing import credit_notes
from billing.models import Invoice, Subscription
from billing.payments.reversals import reverse
from billing.reports.month import money_of_month
from billing.rules.periods import month_window
from tests.billing.payments.money import arrive, invoiced
from tests.billing.reports.paid import paid_by_payments
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
NOW = at("2025-10-28")


@pytest.fixture
def american() -> Subscription:
    """Its invoice, of 99.00 USD, is open."""
    return make_subscription(make_plan("p", 99), at("2025-10-01"))


@pytest.fixture
def european() -> Subscription:
    """Its invoice is of 50.00 EUR, and open."""
    return make_subscription(make_plan("e", 50, currency="EUR"), at("2025-10-01"))


def test_what_became_balance_is_not_paid_and_what_was_taken_back_no_more(
    american: Subscription, european: Subscription
) -> None:
    """99 of 120 USD settle, the rest is balance; 40 are taken back, 21 of them from there. 50 EUR come in parts."""
    too_much = arrive(american.account_id, 120)
    reverse(too_much, money(40), "a chargeback", "d-1", NOW)
    for amount in (20, 30):
        arrive(european.account_id, amount, currency="EUR")
    assert money_of_month(NOW).paid == {"EUR": money("50.00"), "USD": money("80.00")} == paid_by_payments(NOW)


def test_a_month_is_of_utc_from_its_first_instant_on(american: Subscription) -> None:
    invoiced(american, 20, "2025-10-05")
    arrive(american.account_id, 9, now=at("2025-09-30 23:59:59"))
    first = arrive(american.account_id, 30, now=at("2025-10-01"))
    arrive(american.account_id, 1, now=at("2025-10-31 23:59:59"))
    arrive(american.account_id, 5, now=at("2025-11-01"))
    reverse(first, money(30), "undone", "u-1", at("2025-11-02"))
    paid = {month: money_of_month(at(f"2025-{month}-15")).paid for month in ("09", "10", "11", "12")}
    assert paid == {"09": {"USD": 9}, "10": {"USD": 31}, "11": {"USD": -25}, "12": {}}
    assert [*paid.values()] == [paid_by_payments(at(f"2025-{month}-15")) for month in paid]


def test_what_comes_to_nothing_is_left_out(american: Subscription) -> None:
    reverse(arrive(american.account_id, 99), money(99), "undone", "u-1", NOW)
    assert money_of_month(NOW).paid == {} == paid_by_payments(NOW)


def test_billed_and_due_by_every_invoice(american: Subscription, european: Subscription) -> None:
    """Settled in part, void, of another month, late or not."""
    void, _, before = (
        invoiced(american, amount, day) for amount, day in ((7, "2025-10-03"), (11, "2025-10-04"), (13, "2025-09-10"))
    )
    credit_notes.void(void, NOW)
    arrive(american.account_id, 20, before)
    invoiced(american, 8, "2025-10-28")  # due at this instant: not late yet
    found, window = money_of_month(NOW), month_window(NOW)
    billed, due, overdue = (defaultdict[str, Decimal](Decimal) for _ in range(3))
    opened = late = 0
    for invoice in Invoice.objects.exclude(status="void"):
        assert invoice.issued_at is not None
        assert invoice.due_at is not None
        if window.start <= invoice.issued_at < window.end:
            billed[invoice.currency] += invoice.gross
        if invoice.due:
            opened, due[invoice.currency] = opened + 1, due[invoice.currency] + invoice.due
            if invoice.due_at < NOW:
                late, overdue[invoice.currency] = late + 1, overdue[invoice.currency] + invoice.due
    assert (found.billed, found.due, found.overdue) == (billed, due, overdue)
    assert (found.open_invoices, found.overdue_invoices) == (opened, late)
    assert (found.billed, found.overdue) == ({"EUR": 50, "USD": 118}, {"EUR": 50, "USD": 103})
