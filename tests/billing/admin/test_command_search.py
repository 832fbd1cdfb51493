"""Ctrl-K: what it finds, for whom, and what it keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import ApiKey, CreditNote, Invoice, Subscription
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


def search(staff: Staff, term: str) -> str:
    response: Any = staff.client.get("/admin/search/", {"s": term, "extended": "1"})
    assert response.status_code == 200
    return str(response.content.decode())


def page(row: Any) -> str:
    return f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"


def test_customers_documents_and_keys_are_found(superuser: Staff, bob: Customer) -> None:
    invoice = Invoice.objects.get(account=bob.account)
    note = credit_notes.credit(invoice, invoice.total, "goodwill", timezone.now())
    key = ApiKey.objects.get(account=bob.account)
    subscription = Subscription.objects.get(account=bob.account)
    for term in ("bob", "BO", " bob "):
        shown = search(superuser, term)
        assert page(bob.user) in shown and page(subscription) in shown
    assert page(invoice) in search(superuser, str(invoice.number).lower())
    assert page(CreditNote.objects.get(pk=note.pk)) in search(superuser, note.number)
    for term in (key.prefix, bob.key, f"Bearer {bob.key}"):
        assert page(key) in search(superuser, term)


def test_pages_are_found_by_title(superuser: Staff) -> None:
    assert "/admin/billing/plan/" in search(superuser, "PLAN")


def test_nothing_is_found_that_may_not_be_seen(clerk: Staff, bob: Customer) -> None:
    invoice = Invoice.objects.get(account=bob.account)
    for term in ("bob", str(invoice.number), bob.key):
        assert "/change/" not in search(clerk, term)
    clerk.may("billing.view_invoice")
    assert page(invoice) in search(clerk, str(invoice.number))
    assert "/change/" not in search(clerk, "bob")


def test_what_was_found_is_not_kept(superuser: Staff, bob: Customer) -> None:
    assert page(bob.user) in search(superuser, "bob")
    bob.user.username = "robert"
    bob.user.save()
    assert page(bob.user) not in search(superuser, "bob") and page(bob.user) in search(superuser, "robert")


@pytest.mark.parametrize("term", ["", " ", "\0", "x" * 5_000, "%", "_", "'"])
def test_what_nobody_is_called(superuser: Staff, bob: Customer, term: str) -> None:
    response = superuser.client.get("/admin/search/", {"s": term, "extended": "1"})
    assert response.status_code in (200, 400) and b"/change/" not in response.content


def test_strangers_find_nothing(bob: Customer) -> None:
    bob.api.force_login(bob.user)
    assert bob.api.get("/admin/search/?s=bob&extended=1").status_code == 403
