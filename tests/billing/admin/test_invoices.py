"""Staff at the admin's invoices: read, mark as paid, void; documents themselves are never edited."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from billing.models import BalanceEntry, CreditNote, Invoice, Payment, Subscription
from tests.billing.admin.invoice_pages import credit, page, pay, press
from tests.billing.admin.money_pages import errors
from tests.billing.ledger import assert_explained, invoices
from tests.billing.ledger import pay as note_payment
from tests.billing.staff import text_of, told
from tests.cast import Staff
from tests.factories import make_plan, make_subscription

pytestmark = pytest.mark.django_db


def test_the_list_shows_what_is_billed_and_what_is_due(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    note_payment(invoice, Decimal(9), timezone.now(), "part")
    for query in ("", "?q=INV-000001", "?q=bob", "?status__exact=open", "?issued_at__gte=2025-11-01T00:00Z"):
        text = text_of(superuser.open(f"billing/invoice/{query}"))
        for part in ("INV-000001", "bob", "29.00 USD", "20.00 USD", "Open", "2025-11-01 00:00:00"):
            assert part in text, (query, part)
    assert "INV-000001" not in text_of(superuser.open("billing/invoice/?status__exact=paid"))


def test_an_invoices_page_shows_all_that_happened_to_it(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice, reference="bank-77")
    credit(superuser, invoice, "9.00", reason="outage of the 5th")
    text = text_of(superuser.open(page(invoice, "change")))
    for part in ("Starter", "bank-77", "29.00 USD", "CN-000001", "outage of the 5th", "9.00 USD", "20.00 USD", "Paid"):
        assert part in text, part
    assert "_save" not in text
    history = text_of(superuser.open(page(invoice, "history")))
    assert "29.00 USD received (bank-77)" in history and "Credit note CN-000001 over 9.00 USD" in history


def test_credit_notes_payments_and_balances_are_read(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice)
    credit(superuser, invoice, "9.00")
    for model, row, part in (
        ("creditnote", CreditNote.objects.get(), "CN-000001"),
        ("payment", Payment.objects.get(), "bank-1"),
        ("balanceentry", BalanceEntry.objects.get(), "9.00 USD"),
    ):
        for address in ("", "?q=bob", f"{row.pk}/change/", f"{row.pk}/history/"):
            text = text_of(superuser.open(f"billing/{model}/{address}"))
            assert part in text or address.endswith("history/"), (model, address)


@pytest.mark.parametrize("model", ["invoice", "creditnote", "payment", "balanceentry"])
def test_documents_are_not_added_changed_or_deleted(superuser: Staff, sold: Subscription, model: str) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice)
    credit(superuser, invoice, "9.00")
    rows = {"invoice": Invoice, "creditnote": CreditNote, "payment": Payment, "balanceentry": BalanceEntry}
    before = rows[model].objects.values().get()
    for address in ("add/", f"{before['id']}/change/", f"{before['id']}/delete/"):
        assert superuser.send(f"billing/{model}/{address}", total="1", amount="1", post="yes").status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": before["id"], "post": "yes"}
    superuser.client.post(f"/admin/billing/{model}/", deletion)
    assert rows[model].objects.values().get() == before


# --- Mark as paid


def test_what_is_due_is_offered_and_settles_the_invoice(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    text = text_of(superuser.open(page(invoice, "pay")))
    assert re.search(r'name="amount" value="29\.00"', text) and "29.00 USD is due" in text
    assert "29.00 USD received (bank-1), 0.00 USD still due, paid." in told(pay(superuser, invoice))
    payment = Payment.objects.get()
    assert (payment.amount, payment.reference) == (29, "bank-1")
    assert payment.paid_at == datetime(2025, 11, 9, tzinfo=UTC)
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    entry = LogEntry.objects.get()
    assert entry.user == superuser.user and "bank-1" in entry.change_message
    assert_explained(sold)


def test_a_part_leaves_it_open_and_the_rest_is_offered_next(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    assert "19.01 USD still due, open." in told(pay(superuser, invoice, "9.99"))
    assert re.search(r'name="amount" value="19\.01"', text_of(superuser.open(page(invoice, "pay"))))
    pay(superuser, invoice, "19.01", reference="bank-2")
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    assert_explained(sold)


def test_the_same_reference_again_is_the_same_payment(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice, "9.00")
    assert "was recorded before; nothing was added" in told(pay(superuser, invoice, "9.00", reference=" bank-1 "))
    assert "give another reference" in errors(pay(superuser, invoice, "10.00"))
    assert Payment.objects.count() == LogEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"amount": "0"}, "amount", "above 0"),
        ({"amount": "-1"}, "amount", "above 0"),
        ({"amount": "1.001"}, "amount", "USD has 2 decimals"),
        ({"amount": "NaN"}, "amount", "Enter a number"),
        ({"amount": "1e99"}, "amount", "no more than"),
        ({"amount": ""}, "amount", "required"),
        ({"received_on": "2025-11-11"}, "received_on", "has not come"),
        ({"received_on": "soon"}, "received_on", "valid date"),
        ({"reference": " "}, "reference", "required"),
        ({"reference": "x" * 201}, "reference", "at most 200"),
    ],
)
def test_a_wrong_payment_is_named_and_not_recorded(
    superuser: Staff, sold: Subscription, fields: dict[str, str], field: str, message: str
) -> None:
    answer = pay(superuser, invoices(sold)[0], **fields)
    assert list(answer.context["form"].errors) == [field]
    assert message in errors(answer)
    assert not Payment.objects.exists() and not LogEntry.objects.exists()


@pytest.mark.parametrize(("currency", "price", "amount"), [("JPY", 1000, "1000"), ("KWD", "10.505", "10.505")])
def test_other_currencies(superuser: Staff, db: None, currency: str, price: Any, amount: str) -> None:
    subscription = make_subscription(make_plan("local", price, currency=currency), datetime(2025, 11, 1, tzinfo=UTC))
    (invoice,) = invoices(subscription)
    assert f'name="amount" value="{amount}"' in text_of(superuser.open(page(invoice, "pay")))
    assert f"{currency} has" in errors(pay(superuser, invoice, "0.0005"))
    assert f"{amount} {currency} received" in told(pay(superuser, invoice, amount))
    assert f"over {amount} {currency}" in told(credit(superuser, invoice, amount))


# --- Void


def test_voiding_counts_as_never_billed(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    asked = superuser.open(page(invoice, "void")).content.decode()
    assert "cannot be undone" in asked and str(invoice.account) in asked and "The subscription goes on" in asked
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.OPEN, "a button asks first"
    assert "INV-000001 is void." in told(press(superuser, invoice, "void"))
    assert "only an open invoice is voided" in told(press(superuser, invoice, "void"))
    assert "29.00 USD to the balance" in text_of(pay(superuser, invoice)), "it is shown where the money would go"
    assert "only an issued invoice is credited" in errors(credit(superuser, invoice, "1"))
    assert LogEntry.objects.get().change_message == "Voided."
    text = text_of(superuser.open(page(invoice, "change")))
    assert not any(f"{action}/" in text for action in ACTIONS)
    assert_explained(sold)


def test_what_is_partly_paid_is_credited_and_not_voided(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice, "1.00")
    assert "issue a credit note instead" in told(press(superuser, invoice, "void"))
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.OPEN


ACTIONS = ["pay", "credit", "void"]


@pytest.mark.parametrize("action", ACTIONS)
def test_only_staff_who_may_change_invoices_act(clerk: Staff, sold: Subscription, action: str) -> None:
    (invoice,) = invoices(sold)
    fields = {"amount": "1", "reason": "x", "reference": "x", "received_on": "2025-11-09", "seen": "29.00"}
    assert press(clerk, invoice, action, **fields).status_code == 403
    clerk.may("billing.view_invoice", "billing.change_subscription")
    text = text_of(clerk.open(page(invoice, "change")))
    assert not any(f"{each}/" in text for each in ACTIONS)
    assert clerk.open(page(invoice, action)).status_code == 403
    assert press(clerk, invoice, action, **fields).status_code == 403
    assert not LogEntry.objects.exists()
    clerk.may("billing.change_invoice")
    assert f"{action}/" in text_of(clerk.open(page(invoice, "change")))
    assert press(clerk, invoice, action, **fields).status_code == 200
    assert LogEntry.objects.get().user == clerk.user


def test_a_form_from_another_site_is_refused(superuser: Staff, sold: Subscription) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser.user)
    for action in ACTIONS:
        answer = strict.post(f"/admin/{page(invoices(sold)[0], action)}", {})
        assert answer.status_code == 403
    assert invoices(sold)[0].status == Invoice.Status.OPEN


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("number", ["0", "x", "9" * 30])
def test_there_is_nothing_to_do_on_what_is_not_there(superuser: Staff, db: None, action: str, number: str) -> None:
    assert superuser.send(f"billing/invoice/{number}/{action}/").status_code == 404


@pytest.mark.parametrize(
    ("permission", "titles"),
    [("view_invoice", ["Invoices"]), ("view_payment", ["Payments"]), ("view_subscription", ["Subscriptions"])],
)
def test_the_sidebar_leads_to_what_may_be_read(clerk: Staff, permission: str, titles: list[str]) -> None:
    clerk.may(f"billing.{permission}")
    groups = clerk.open("").context["sidebar_navigation"]
    assert [item["title"] for group in groups for item in group["items"]] == titles
