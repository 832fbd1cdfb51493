"""Invoices and details on the dashboard: the customer's own, to the cent, in the customer's words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes, issuing
from billing.models import BillingDetails, CreditNote, Invoice, Subscription
from billing.payments.reversals import reverse
from tests.billing.ledger import bill, pay, pay_in_full
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.factories import make_seller

pytestmark = pytest.mark.django_db


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def test_what_is_due_is_said_with_how_to_pay_it(bob: Customer, bob_there: Person) -> None:
    make_seller(iban="DE89370400440532013000")
    page = bob_there.open("billing/")
    assert "$29.00 is due on invoice INV-000001" in page and "IBAN DE89370400440532013000" in page
    assert "IBAN DE89370400440532013000" in bob_there.open("billing/invoices/INV-000001/"), "mails lead there"
    pay_in_full(Invoice.objects.get(account=bob.account), timezone.now())
    assert "IBAN" not in bob_there.open("billing/invoices/INV-000001/")


def test_an_invoice_shows_its_lines_and_what_took_it_off(bob: Customer, bob_there: Person) -> None:
    invoice = Invoice.objects.get(account=bob.account)
    credit_notes.credit(invoice, Decimal(9), "an outage", timezone.now())
    page = bob_there.open(f"billing/invoices/{invoice.number}/")
    assert "Starter" in page and "$29.00" in page and "$20.00 is due until" in page and "CN-000001" in page
    assert "Download the PDF" not in page, "there was no seller when it was issued"
    listed = bob_there.open("billing/")
    assert "CN-000001" in listed and "an outage" in listed


def test_a_pdf_is_a_file_or_a_reason(bob: Customer, customer: Callable[..., Customer], bob_there: Person) -> None:
    number = Invoice.objects.get(account=bob.account).number
    refused = bob_there.client.get(f"/dashboard/billing/invoices/{number}/pdf/", follow=True)
    assert "our name and address were not known" in refused.text
    make_seller()
    eve = customer("eve", "pro")
    there = Person(eve.user)
    number = Invoice.objects.get(account=eve.account).number
    assert there.client.get(f"/dashboard/billing/invoices/{number}/pdf/").content.startswith(b"%PDF")


def test_anothers_documents_are_not_there(bob: Customer, carol: Customer, bob_there: Person) -> None:
    theirs = Invoice.objects.get(account=carol.account)
    credit_notes.credit(theirs, Decimal(9), "an outage", timezone.now())
    note = CreditNote.objects.get()
    for path in (f"invoices/{theirs.number}/", f"invoices/{theirs.number}/pdf/", f"credit-notes/{note.number}/pdf/"):
        assert bob_there.client.get(f"/dashboard/billing/{path}").status_code == 404
    assert theirs.number not in bob_there.open("billing/")


def test_details_are_checked_and_kept(bob: Customer, bob_there: Person) -> None:
    given = {"name": "Bob <b>Ltd</b>", "address": "1 High Street", "city": "Dublin", "postcode": "D02", "country": "IE"}
    page = bob_there.send("billing/details/", **given, vat_id="IE123")
    assert 'id="id_vat_id_error"' in page or "errorlist" in page
    assert not BillingDetails.objects.exists()
    page = bob_there.client.post("/dashboard/billing/details/", given | {"vat_id": "IE6433435F"}, follow=True).text
    assert "Saved." in page and "Bob &lt;b&gt;Ltd" in page
    assert BillingDetails.objects.get().vat_id == "IE6433435F"


def test_in_german_money_is_german(bob: Customer, bob_there: Person) -> None:
    page = bob_there.client.get("/dashboard/billing/", headers={"accept-language": "de"}).text
    assert "29,00\N{NO-BREAK SPACE}$" in page


def test_what_came_was_taken_back_and_is_owed_is_said(bob: Customer, bob_there: Person) -> None:
    subscription = Subscription.objects.get(account=bob.account)
    invoice = Invoice.objects.get(account=bob.account)
    paid = pay(invoice, Decimal(49), timezone.now(), "bank-7")
    page = bob_there.open("billing/")
    assert "Your balance is $20.00; the next invoices use it." in page and "Payment bank-7" in page
    issuing.issue([bill(subscription, 15)], timezone.now())
    reverse(paid, Decimal(49), "charged back", "dp-1", timezone.now())
    page = bob_there.open("billing/")
    assert "You owe $15.00 of a payment that was taken back; the next invoice bills it." in page
    assert "Payment taken back dp-1" in page and "Used by invoice INV-000002" in page
    shown = bob_there.open(f"billing/invoices/{invoice.number}/")
    assert "Payment bank-7" in shown and "Payment taken back dp-1" in shown and "-$29.00" in shown
    assert "Owed of a payment that was taken back" in bob_there.open("plans/change/pro/")
    assert "Invoice INV-000001 due again" in bob_there.open("activity/")
