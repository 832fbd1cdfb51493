"""What documents say over HTTP with tax: invoices, credit notes, the balance; previews and answers of changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.invoicing import credit_notes
from billing.models import Invoice, Plan
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import pay
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.factories import LONG_AGO, make_details, make_rate, make_seller

pytestmark = pytest.mark.django_db
API = "/api/v1/billing"


@pytest.fixture
def bob_in_germany(customer: Callable[..., Customer]) -> Any:
    """On starter since 2025-10-01 for 29.00 and 19 %, with his name and address."""
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        make_seller(email="billing@example.com")
        make_rate("DE", 19)
        Plan.objects.update(priced_at=LONG_AGO)
        bob = customer("bob", "starter")
        yield bob, clock


def test_an_invoice_shows_all_that_belongs_to_it(bob_in_germany: Any) -> None:
    bob, _ = bob_in_germany
    (invoice,) = Invoice.objects.all()
    pay(invoice, Decimal("4.51"), datetime(2025, 10, 2, tzinfo=UTC), "bank 1")
    credit_notes.credit(invoice, Decimal("5.95"), "Outage", datetime(2025, 10, 3, tzinfo=UTC))
    shown = bob.api.get(f"{API}/invoices/INV-000001").json()
    assert [(line["kind"], line["amount"]) for line in shown["lines"]] == [("base", 29), ("tax", 5.51)]
    assert [shown[name] for name in ("net", "tax", "gross", "total", "amount_due")] == [29, 5.51, 34.51, 34.51, 24.05]
    assert shown["due_at"] == "2025-10-15T00:00:00Z"
    taxed = {"category": "S", "percent": 19, "country": "DE", "name": "VAT", "net": 29, "tax": 5.51}
    assert (shown["taxes"], shown["reverse_charge"]) == ([taxed], False)
    assert (shown["seller"]["vat_id"], shown["buyer"]["name"]) == ("DE136695976", "bob")
    assert shown["payments"] == [{"amount": 4.51, "paid_at": "2025-10-02T00:00:00Z", "reference": "bank 1"}]
    noted = {"number": "CN-000001", "issued_at": "2025-10-03T00:00:00Z", "amount": 5.95, "reason": "Outage"}
    assert shown["credit_notes"] == [noted]


def test_credit_notes_are_listed_and_read(bob_in_germany: Any, carol: Customer) -> None:
    bob, _ = bob_in_germany
    (invoice,) = Invoice.objects.filter(account=bob.account)
    for day in (3, 4):
        credit_notes.credit(invoice, Decimal("5.95"), f"Outage {day}", datetime(2025, 10, day, tzinfo=UTC))
    page = bob.api.get(f"{API}/credit-notes").json()
    assert [note["number"] for note in page["results"]] == ["CN-000002", "CN-000001"]
    note = page["results"][1]
    assert note == bob.api.get(f"{API}/credit-notes/CN-000001").json()
    assert [note[name] for name in ("invoice", "amount", "net", "tax")] == ["INV-000001", 5.95, 5, 0.95]
    assert note["taxes"] == [{"category": "S", "percent": 19, "country": "DE", "name": "VAT", "net": 5, "tax": 0.95}]
    assert carol.api.get(f"{API}/credit-notes").json()["results"] == []
    refused = carol.api.get(f"{API}/credit-notes/CN-000001")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert Client().get(f"{API}/credit-notes").status_code == 401


def test_the_balance_and_its_movements(bob_in_germany: Any, alice: Customer) -> None:
    bob, clock = bob_in_germany
    (invoice,) = Invoice.objects.filter(account=bob.account)
    pay(invoice, invoice.due, datetime(2025, 10, 2, tzinfo=UTC), "bank 1")
    credit_notes.credit(invoice, Decimal("34.51"), "Outage", datetime(2025, 10, 3, tzinfo=UTC))
    shown = bob.api.get(f"{API}/balance").json()
    assert shown["balances"] == [{"currency": "USD", "amount": 34.51}]
    first = {
        "amount": 34.51,
        "currency": "USD",
        "created_at": "2025-10-03T00:00:00Z",
        "kind": "credit_note",
        "invoice": None,
        "credit_note": "CN-000001",
        "reference": None,
    }
    assert shown["results"] == [first]
    clock.move_to("2025-11-01T00:00:00Z")
    renewal.renew_due(datetime(2025, 11, 1, tzinfo=UTC))
    shown = bob.api.get(f"{API}/balance", {"limit": 1}).json()
    assert shown["balances"] == [{"currency": "USD", "amount": 0}]
    used = shown["results"][0]
    assert (used["amount"], used["kind"], used["invoice"]) == (-34.51, "used", "INV-000002")
    assert bob.api.get(shown["next"]).json()["results"] == [first]
    nothing = {"next": None, "previous": None, "results": [], "balances": []}
    assert alice.api.get(f"{API}/balance").json() == nothing


def test_preview_upgrade_and_invoice_agree(bob_in_germany: Any) -> None:
    bob, clock = bob_in_germany
    clock.move_to("2025-10-17T12:00:00Z")
    shown = bob.post(f"{API}/calculate-proration", {"target_plan": "pro"}).json()
    assert [shown[name] for name in ("prorated_amount", "tax", "amount_due")] == [9.68, 1.84, 11.52]
    clock.move_to("2025-10-17T12:05:00Z")
    done = bob.post(f"{API}/upgrade", {"target_plan": "pro", "quoted_at": shown["at"]}).json()
    assert [done[name] for name in ("prorated_amount", "tax", "amount_due")] == [9.68, 1.84, 11.52]
    assert bob.api.get(f"{API}/invoices/{done['invoice']}").json()["total"] == 11.52
    assert bob.api.get(f"{API}/subscription").json()["next_invoice_amount"] == 58.31


def test_a_quote_ends_where_the_details_change_its_tax(bob_in_germany: Any) -> None:
    bob, clock = bob_in_germany
    clock.move_to("2025-10-17T12:00:00Z")
    shown = bob.post(f"{API}/calculate-proration", {"target_plan": "pro"}).json()
    clock.move_to("2025-10-17T12:05:00Z")
    make_details(bob.account, "FR", "FR40303265045")
    refused = bob.post(f"{API}/upgrade", {"target_plan": "pro", "quoted_at": shown["at"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_expired")
    again = bob.post(f"{API}/calculate-proration", {"target_plan": "pro"}).json()
    assert [again[name] for name in ("tax", "amount_due")] == [-2.67, 7.01], "the credit's tax comes back"
    done = bob.post(f"{API}/upgrade", {"target_plan": "pro", "quoted_at": again["at"]}).json()
    assert [done[name] for name in ("tax", "amount_due")] == [-2.67, 7.01]


def test_what_the_balance_pays_is_not_due(bob_in_germany: Any) -> None:
    bob, clock = bob_in_germany
    (invoice,) = Invoice.objects.all()
    pay(invoice, invoice.due, datetime(2025, 10, 2, tzinfo=UTC), "bank 1")
    credit_notes.credit(invoice, Decimal("1.52"), "Outage", datetime(2025, 10, 3, tzinfo=UTC))
    clock.move_to("2025-10-17T12:00:00Z")
    shown = bob.post(f"{API}/calculate-proration", {"target_plan": "pro"}).json()
    done = bob.post(f"{API}/upgrade", {"target_plan": "pro"}).json()
    assert (shown["amount_due"], done["amount_due"]) == (10, 10)
