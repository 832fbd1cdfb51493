"""What was paid for an invoice, and what moved the balance, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from billing.models import Invoice, Subscription
from billing.payments import refunds
from billing.payments.reversals import reverse
from tests.billing.ledger import pay
from tests.billing.payments.money import invoiced
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.factories import at, money

pytestmark = pytest.mark.django_db
API = "/api/v1/billing"
LATER, MUCH_LATER = at("2025-10-20"), at("2025-10-25")


@pytest.fixture
def bob(customer: Callable[..., Customer]) -> Iterator[Customer]:
    """He owes 29.00 USD since October 1st."""
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to(MUCH_LATER)
        yield bob


def test_an_invoices_payments_say_where_they_came_from(bob: Customer, alice: Customer) -> None:
    invoice = Invoice.objects.get()
    assert bob.api.get(f"{API}/invoices/INV-000001/payments").json()["results"] == []
    paid = pay(invoice, money(40), LATER + timedelta(microseconds=7), "bank 7")  # shown to the second
    reverse(paid, money(31), "A chargeback", "dp_1", MUCH_LATER)
    answer = bob.api.get(f"{API}/invoices/INV-000001/payments")
    came = {"amount": 29, "paid_at": "2025-10-20T00:00:00Z", "reference": "bank 7", "source": "manual", "received": 40}
    taken = came | {"amount": -20, "paid_at": "2025-10-25T00:00:00Z", "reference": "dp_1"}
    assert answer.json() == {
        "next": None,
        "previous": None,
        "results": [taken | {"reason": "A chargeback"}, came | {"reason": None}],
    }
    shown = bob.api.get(f"{API}/invoices/INV-000001").json()
    assert (shown["status"], shown["amount_due"]) == ("open", 20)
    assert [(each["amount"], each["reference"]) for each in shown["payments"]] == [(29, "bank 7"), (-20, "dp_1")]
    (first,) = bob.api.get(f"{API}/invoices/INV-000001/payments", {"limit": 1}).json()["results"]
    assert first["amount"] == -20


@pytest.mark.parametrize("number", ["INV-000001", "INV-000009", "x"])
def test_nobody_sees_the_payments_of_others(bob: Customer, alice: Customer, number: str) -> None:
    pay(Invoice.objects.get(), money(29), LATER, "bank 7")
    refused = alice.api.get(f"{API}/invoices/{number}/payments")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert Client().get(f"{API}/invoices/{number}/payments").status_code == 401


def test_each_movement_of_the_balance_says_what_it_is(bob: Customer) -> None:
    subscription = Subscription.objects.get(account=bob.account)
    first = Invoice.objects.get()
    paid = pay(first, money(49), at("2025-10-02"), "bank 7")
    invoiced(subscription, 5, "2025-10-03")
    refund = refunds.request(bob.account, "USD", money(2), "card", "asked for", at("2025-10-04"))
    refunds.advance(refund, "failed", at("2025-10-05"), "re_1")
    refunds.note_paid_out(bob.account, "USD", money(3), "out 1", "asked for", at("2025-10-06"))
    reverse(paid, money(20), "A chargeback", "dp_1", at("2025-10-07"))
    invoiced(subscription, 30, "2025-10-08")
    moved = bob.api.get(f"{API}/balance").json()
    shown = [(each["kind"], each["amount"], each["invoice"], each["reference"]) for each in moved["results"]]
    assert shown[::-1] == [
        ("payment", 20, None, "bank 7"),
        ("used", -5, "INV-000002", None),
        ("refund", -2, None, "re_1"),
        ("refund_failed", 2, None, "re_1"),
        ("refund", -3, None, "out 1"),
        ("reversal", -20, None, "dp_1"),
        ("billed", 8, "INV-000003", None),
    ]
    assert moved["balances"] == [{"currency": "USD", "amount": 0}]


def test_a_balance_that_is_owed_is_part_of_what_comes_next(bob: Customer) -> None:
    subscription = Subscription.objects.get(account=bob.account)
    paid = pay(Invoice.objects.get(), money(49), at("2025-10-02"), "bank 7")
    invoiced(subscription, 20, "2025-10-03")
    reverse(paid, money(20), "A chargeback", "dp_1", LATER)
    shown = bob.api.get(f"{API}/subscription").json()
    assert (shown["balance"], shown["next_invoice_amount"]) == (-20, 49)
    preview: Any = bob.post(f"{API}/calculate-proration", {"target_plan": "pro"}).json()
    assert money(preview["amount_due"]) == money(preview["prorated_amount"]) + 20
    bob.post(f"{API}/upgrade", {"target_plan": "pro"})
    invoice = bob.api.get(f"{API}/invoices/INV-000003").json()
    assert invoice["total"] == preview["amount_due"]
    assert invoice["lines"][-1]["description"] == "Owed of a payment that was taken back"
