"""GET /billing/invoices/{number}/pdf and /billing/credit-notes/{number}/pdf."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.invoicing import credit_notes
from billing.models import Invoice, Seller
from tests.billing.documents.sold import made_anew, make_buyer, make_seller, said, text_of, xml_of
from tests.billing.ledger import pay
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing"


def pdf(customer: Customer, number: str = "INV-000001", **headers: str) -> Any:
    kind = "credit-notes" if number.startswith("CN") else "invoices"
    return customer.api.get(f"{PATH}/{kind}/{number}/pdf", headers=headers)


@pytest.fixture
def sold(customer: Callable[..., Customer]) -> Customer:
    """Bob, in Germany since 2025-01-31, with an invoice of 29.00 and the tax on it."""
    make_seller()
    with moved_by_hand("2025-01-31T08:00:00Z"):
        return customer("bob", "starter")


def test_an_invoice_is_a_pdf_that_says_what_it_is(sold: Customer) -> None:
    response = pdf(sold)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/pdf"
    assert response["Content-Disposition"] == 'attachment; filename="INV-000001.pdf"'
    assert response["Cache-Control"] == "no-store"
    text = text_of(response.content)
    for part in ("INV-000001", "Ledger GmbH", "bob", "Starter", "31 Jan 2025 – 28 Feb 2025", "34.51 USD"):
        assert part in text, part
    xml = xml_of(response.content)
    assert said(xml, "GrandTotalAmount") == said(xml, "DuePayableAmount") == ["34.51"]


def test_it_is_the_same_file_on_another_day_and_whatever_is_paid_or_edited_since(sold: Customer) -> None:
    first = pdf(sold)
    (invoice,) = Invoice.objects.all()
    pay(invoice, Decimal("30.00"), datetime(2025, 2, 1, tzinfo=UTC), "bank 1")
    credit_notes.credit(invoice, Decimal("4.00"), "goodwill", datetime(2025, 2, 2, tzinfo=UTC))
    Seller.objects.update(name="Another Ltd.")
    make_buyer(sold.user)
    made_anew()
    with moved_by_hand("2026-05-01T00:00:00Z"):
        again = pdf(sold)
    assert again.content == first.content
    assert again["ETag"] == first["ETag"]


def test_who_has_it_gets_no_copy(sold: Customer) -> None:
    etag = pdf(sold)["ETag"]
    response = pdf(sold, **{"if-none-match": etag})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", etag)
    assert pdf(sold, **{"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize("accept", ["application/pdf", "*/*", "application/json", "text/html,*/*;q=0.8"])
def test_a_client_may_ask_for_it_in_its_own_way(sold: Customer, accept: str) -> None:
    assert pdf(sold, accept=accept)["Content-Type"] == "application/pdf"
    refused = pdf(sold, "INV-000099", accept=accept)
    assert refused.status_code == 404
    assert refused["Content-Type"].startswith("text/html" if "html" in accept else "application/problem+json")


def test_what_it_cannot_be_is_not_acceptable(sold: Customer) -> None:
    refused = pdf(sold, accept="image/png")
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


def test_a_credit_note_is_a_document_too(sold: Customer) -> None:
    (invoice,) = Invoice.objects.all()
    credit_notes.credit(invoice, Decimal("11.90"), "Outage of 2 February", datetime(2025, 2, 3, tzinfo=UTC))
    response = pdf(sold, "CN-000001")
    assert response["Content-Disposition"] == 'attachment; filename="CN-000001.pdf"'
    text = text_of(response.content)
    for part in ("Credit note", "CN-000001", "Outage of 2 February", "INV-000001 of 31 Jan 2025", "11.90 USD credited"):
        assert part in text, part
    xml = xml_of(response.content)
    assert said(xml, "rsm:ExchangedDocument/TypeCode") == ["381"]
    assert said(xml, "InvoiceReferencedDocument/IssuerAssignedID") == ["INV-000001"]
    assert said(xml, "TaxBasisTotalAmount") + said(xml, "TaxTotalAmount") == ["10.00", "1.90"]


def test_what_was_issued_without_a_seller_has_none_and_says_why(bob: Customer) -> None:
    refused = pdf(bob)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_document")
    assert "contact support" in refused.json()["detail"]
    assert bob.api.get(f"{PATH}/invoices/INV-000001").json()["pdf"] is None
    (invoice,) = Invoice.objects.all()
    credit_notes.credit(invoice, Decimal("1.00"), "goodwill", datetime.now(UTC))
    assert pdf(bob, "CN-000001").json()["code"] == "no_document"


def test_a_void_one_is_not_handed_out(sold: Customer) -> None:
    (invoice,) = Invoice.objects.all()
    credit_notes.void(invoice, datetime(2025, 2, 1, tzinfo=UTC))
    refused = pdf(sold)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_document")
    assert "void" in refused.json()["detail"]
    assert sold.api.get(f"{PATH}/invoices/INV-000001").json()["pdf"] is None


def test_drafts_and_other_numbers_have_none(sold: Customer) -> None:
    (invoice,) = Invoice.objects.all()
    Invoice(account=sold.user, subscription=invoice.subscription, currency="USD", total=0).save()
    for number in ("None", "draft", "INV-000002", "CN-000001", "inv-000001", "INV%00", "%F0%9F%92%A9"):
        assert pdf(sold, number).status_code == 404, number


def test_nobody_sees_anothers(sold: Customer, carol: Customer) -> None:
    (invoice,) = Invoice.objects.filter(account=sold.user)
    credit_notes.credit(invoice, Decimal("1.00"), "goodwill", datetime.now(UTC))
    for number in ("INV-000001", "CN-000001"):
        refused = pdf(carol, number)
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert refused.json() == pdf(carol, "INV-999999").json()
    assert Client().get(f"{PATH}/invoices/INV-000001/pdf").status_code == 401


def test_an_invoice_leads_to_it(sold: Customer) -> None:
    link = sold.api.get(f"{PATH}/invoices").json()["results"][0]["pdf"]
    assert link == "http://testserver/api/v1/billing/invoices/INV-000001/pdf"
    assert sold.api.get(link).content == pdf(sold).content


def test_what_is_asked_beside_is_refused(sold: Customer) -> None:
    refused = sold.api.get(f"{PATH}/invoices/INV-000001/pdf", {"page": "1"})
    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["page"])
