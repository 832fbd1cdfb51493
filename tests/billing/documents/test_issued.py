"""Documents of real invoices and credit notes: each says what the ledger has, with tax on top and within."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from billing.documents.document import Document, Kind
from billing.documents.issued import MOST_LINES, NoDocument, of_credit_note, of_invoice
from billing.invoicing import credit_notes, issuing
from billing.models import CreditNote, Invoice, InvoiceLine, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.documents.sold import make_buyer, make_seller
from tests.billing.documents.sums import assert_adds_up
from tests.billing.ledger import bill
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.factories import LONG_AGO, at, make_rate

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[False, True], ids=["on top", "within"])
def lived(request: Any, settings: Any, customer: Callable[..., Customer]) -> Customer:
    """Upgrades after the rate has risen, while the buyer owes the tax, and with a balance; notes on what was billed."""
    settings.PRICES_INCLUDE_TAX = request.param
    make_seller()
    make_rate("DE", 20, at("2025-01-10"))
    Plan.objects.update(priced_at=LONG_AGO)
    with moved_by_hand("2025-01-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-01-16T00:00:00Z")
        upgrade(bob, "pro")
        credit_notes.credit(Invoice.objects.get(number="INV-000002"), Decimal("3.33"), "outage", at("2025-01-17"))
        make_buyer(bob.user, "FR", vat_id="FR40303265045")
        clock.move_to("2025-01-20T00:00:00Z")
        upgrade(bob, "business")
        clock.move_to("2025-02-01T00:00:00Z")
        renewal.renew_due(datetime(2025, 2, 1, tzinfo=UTC))
        credit_notes.credit(Invoice.objects.get(number="INV-000004"), Decimal("99.00"), "all of it", at("2025-02-02"))
        clock.move_to("2025-03-01T00:00:00Z")
        renewal.renew_due(datetime(2025, 3, 1, tzinfo=UTC))
    return bob


def upgrade(customer: Customer, plan: str) -> None:
    assert customer.post("/api/v1/billing/upgrade", {"target_plan": plan}).status_code == 200


def test_each_says_what_the_ledger_has(lived: Customer) -> None:
    assert Invoice.objects.count() == 5
    for invoice in Invoice.objects.all():
        document = of_invoice(invoice)
        assert (document.net, document.tax, document.gross) == (invoice.net, invoice.tax, invoice.gross)
        assert document.due == invoice.total
        assert_adds_up(document)
    assert CreditNote.objects.count() == 2
    for note in CreditNote.objects.all():
        document = of_credit_note(note)
        assert (document.net, document.tax, document.gross) == (note.net, note.tax, note.amount)
        assert document.credits is not None and document.credits.number == str(note.invoice)
        assert_adds_up(document)


def test_taxes_and_their_sentence_are_those_of_the_time(lived: Customer) -> None:
    def categories(document: Document) -> list[tuple[str, int]]:
        return [(str(each.treatment.category), int(each.treatment.percent)) for each in document.taxes]

    first, second, third, fourth, _ = (of_invoice(each) for each in Invoice.objects.order_by("number"))
    assert categories(first) == [("S", 19)]
    assert sorted(categories(second)) == [("S", 19), ("S", 20)]
    assert sorted(categories(third)) == [("AE", 0), ("S", 19), ("S", 20)]
    assert categories(fourth) == [("AE", 0)]
    assert [bool(each.notes) for each in (first, second, third, fourth)] == [False, False, True, True]
    assert "Reverse charge" in of_credit_note(CreditNote.objects.get(number="CN-000002")).notes[0]


def test_the_parties_are_those_of_the_issue(lived: Customer) -> None:
    first, last = (
        of_invoice(Invoice.objects.get(number="INV-000001")),
        of_invoice(Invoice.objects.get(number="INV-000005")),
    )
    assert (first.buyer.name, first.buyer.country) == ("bob", "DE")
    assert (last.buyer.name, last.buyer.country, last.buyer.vat_id) == ("Müller & Söhne", "FR", "FR40303265045")
    assert last.buyer.address == ("Marktplatz 1", "2. Stock")
    assert (last.kind, last.payment and last.payment.days) == (Kind.INVOICE, 14)


def test_a_balance_is_no_line_but_what_was_paid_before(lived: Customer) -> None:
    last = of_invoice(Invoice.objects.get(number="INV-000005"))
    used = InvoiceLine.objects.filter(kind=InvoiceLine.Kind.BALANCE, invoice__number="INV-000005")
    assert last.balance_used == -sum(line.amount for line in used)
    assert {row.description for row in last.rows} == {"Business"}


def test_one_of_too_many_lines_has_none(customer: Callable[..., Customer]) -> None:
    make_seller()
    bob = customer("bob", "starter")
    subscription = Subscription.objects.get(account=bob.user)
    for lines in (MOST_LINES - 1, MOST_LINES):  # and one for the tax
        with transaction.atomic():
            (invoice,) = issuing.issue([bill(subscription, *["1.00"] * lines)], datetime.now(UTC))
        if lines < MOST_LINES:
            assert len(of_invoice(invoice).rows) == lines
    with pytest.raises(NoDocument, match="too_long"):
        of_invoice(invoice)
