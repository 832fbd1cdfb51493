"""Staff at the PDF of an invoice and of a credit note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.invoicing import credit_notes
from billing.models import CreditNote, Invoice
from tests.billing.documents.sold import make_seller, text_of
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def note(customer: Callable[..., Customer]) -> CreditNote:
    """Bob's, over 11.90 of his invoice."""
    make_seller()
    customer("bob", "starter")
    return credit_notes.credit(Invoice.objects.get(), Decimal("11.90"), "outage", datetime.now(UTC))


def test_each_page_leads_to_the_file(superuser: Staff, note: CreditNote) -> None:
    for kind, row in (("invoice", note.invoice), ("creditnote", note)):
        page = superuser.open(f"billing/{kind}/{row.pk}/change/")
        assert f"/admin/billing/{kind}/{row.pk}/pdf/" in page.content.decode()
        response = superuser.open(f"billing/{kind}/{row.pk}/pdf/")
        assert response["Content-Disposition"] == f'attachment; filename="{row.number}.pdf"'
        assert str(row.number) in text_of(response.content)


def test_a_void_invoice_is_there_for_staff(superuser: Staff, customer: Callable[..., Customer]) -> None:
    make_seller()
    customer("bob", "starter")
    invoice = credit_notes.void(Invoice.objects.get(), datetime.now(UTC))
    assert superuser.open(f"billing/invoice/{invoice.pk}/pdf/")["Content-Type"] == "application/pdf"


def test_without_a_seller_staff_are_told_what_to_fill_in(superuser: Staff, bob: Customer) -> None:
    invoice = Invoice.objects.get()
    response = superuser.client.get(f"/admin/billing/invoice/{invoice.pk}/pdf/", follow=True)
    (message,) = response.context["messages"]
    assert "Fill in name, address and country under Seller" in str(message)


def test_who_may_not_see_invoices_gets_none(clerk: Staff, note: CreditNote) -> None:
    for kind, row in (("invoice", note.invoice), ("creditnote", note)):
        assert clerk.open(f"billing/{kind}/{row.pk}/pdf/").status_code == 403
    clerk.may("billing.view_invoice", "billing.view_creditnote")
    for kind, row in (("invoice", note.invoice), ("creditnote", note)):
        assert clerk.open(f"billing/{kind}/{row.pk}/pdf/").status_code == 200
