"""Staff and the seller, rates of tax, and customers' billing details."""

from __future__ import annotations

from typing import Any

import pytest

from billing.invoicing import credit_notes
from billing.models import BillingDetails, Invoice, Seller, TaxRate
from tests.billing.forms import form_errors
from tests.cast import Customer, Staff
from tests.factories import at, make_details, make_plan, make_rate, make_seller, make_subscription, money

pytestmark = pytest.mark.django_db
SELLER = {
    "name": "Metered GmbH",
    "address": "Hauptstraße 1\r\n\r\n 2. Stock ",
    "city": "Berlin",
    "postcode": "10115",
    "country": "DE",
    "vat_id": "de 136 695 976",
    "email": "billing@example.com",
    "iban": "DE89 3704 0044 0532 0130 00",
    "payment_text": "",
    "payment_days": "14",
    "reverse_charge_text": "Reverse charge: VAT to be accounted for by the recipient",
}
RATE = {"country": "DE", "name": "VAT", "percent": "19", "valid_from_0": "2025-01-01", "valid_from_1": "00:00:00"}


def test_there_is_one_seller(superuser: Staff) -> None:
    form = superuser.open("billing/seller/add/").context["adminform"].form
    hidden = {field.html_name: field.value() or "" for field in form.hidden_fields()}
    assert superuser.send("billing/seller/add/", **SELLER, **hidden).status_code == 302
    seller = Seller.objects.get()
    assert (seller.address, seller.vat_id) == ("Hauptstraße 1\n2. Stock", "DE136695976")
    assert seller.iban == "DE89370400440532013000"
    assert superuser.send("billing/seller/add/", **SELLER).status_code == 403
    assert superuser.send("billing/seller/1/change/", **SELLER | {"name": "Renamed", "seen": ""}).status_code == 200
    assert superuser.send("billing/seller/1/change/", **SELLER | {"name": "Renamed"}).status_code == 302
    assert b"Renamed" in superuser.open("billing/seller/1/history/").content
    assert superuser.open("billing/seller/1/delete/").status_code == 403


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"vat_id": "DE136695975"}, "vat_id"),
        ({"country": "XX"}, "country"),
        ({"iban": "DE89370400440532013001"}, "iban"),
        ({"payment_days": "366"}, "payment_days"),
        ({"payment_days": "-1"}, "payment_days"),
        ({"name": ""}, "name"),
        ({"email": "nobody"}, "email"),
    ],
)
def test_what_is_wrong_with_a_seller_is_said(superuser: Staff, wrong: dict[str, str], field: str) -> None:
    assert list(form_errors(superuser.send("billing/seller/add/", **SELLER | wrong))) == [field]


def test_rates_are_added_and_kept(superuser: Staff) -> None:
    assert superuser.send("billing/taxrate/add/", **RATE).status_code == 302
    rate = TaxRate.objects.get()
    assert (rate.percent, rate.valid_from) == (19, at("2025-01-01"))
    assert superuser.open(f"billing/taxrate/{rate.pk}/delete/").status_code == 403
    assert "19 %" in superuser.open("billing/taxrate/").content.decode()
    twice = superuser.send("billing/taxrate/add/", **RATE)
    assert "__all__" in form_errors(twice)
    for wrong in ("101", "-1", "NaN", "1.23456"):
        refused = superuser.send("billing/taxrate/add/", **RATE | {"country": "FR", "percent": wrong})
        assert list(form_errors(refused)) == ["percent"], wrong


def test_staff_keep_a_customers_details(superuser: Staff, bob: Customer) -> None:
    given = {"account": bob.account, "name": "Bob Ltd", "address": "", "city": "", "postcode": "", "country": "IE"}
    assert superuser.send("billing/billingdetails/add/", **given, vat_id="IE6433435F").status_code == 302
    details = BillingDetails.objects.get()
    page = f"billing/billingdetails/{details.pk}/change/"
    assert list(form_errors(superuser.send(page, **given, vat_id="IE1"))) == ["vat_id"]
    assert superuser.send(page, **given | {"name": "Bobby"}, vat_id="").status_code == 302
    assert BillingDetails.objects.get().name == "Bobby"
    assert "Bobby" in superuser.open("billing/billingdetails/?q=bob").content.decode()


def test_who_may_see_them(clerk: Staff) -> None:
    make_seller()
    rate = make_rate("DE", 19)
    pages = ["seller/", "seller/1/change/", f"taxrate/{rate.pk}/change/", "billingdetails/"]
    assert [clerk.open(f"billing/{page}").status_code for page in pages] == [403] * 4
    clerk.may("billing.view_seller", "billing.view_taxrate", "billing.view_billingdetails")
    assert [clerk.open(f"billing/{page}").status_code for page in pages] == [200] * 4
    assert clerk.send("billing/seller/1/change/", **SELLER).status_code == 403


def test_an_invoice_shows_its_tax_and_parties(superuser: Staff) -> None:
    make_seller()
    make_rate("DE", 19)
    sold = make_subscription(make_plan("hundred", 100), at("2025-10-01"), "bob")
    make_details(sold.account_id, "FR")
    (invoice,) = Invoice.objects.all()
    note = credit_notes.credit(invoice, money("11.90"), "outage", at("2025-10-02"))
    page = superuser.open(f"billing/invoice/{invoice.pk}/change/").content.decode()
    for text in ("VAT 19 %", "19.00\xa0USD", "119.00\xa0USD", "Metered, DE, DE136695976", "bob, DE", "107.10\xa0USD"):
        assert text in page, text
    page = superuser.open(f"billing/creditnote/{note.pk}/change/").content.decode()
    for text in ("11.90\xa0USD", "10.00\xa0USD", "1.90\xa0USD"):
        assert text in page, text


def test_money_for_it_is_with_tax(superuser: Staff) -> None:
    make_seller()
    make_rate("DE", 19)
    make_subscription(make_plan("hundred", 100), at("2025-10-01"))
    (invoice,) = Invoice.objects.all()
    paid: dict[str, Any] = {"amount": "119.00", "received_on": "2025-10-02", "reference": "bank 1"}
    assert superuser.send(f"billing/invoice/{invoice.pk}/pay/", **paid).status_code == 302
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due) == ("paid", 0)
