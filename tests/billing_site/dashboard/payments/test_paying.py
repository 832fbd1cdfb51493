"""Paying at the dashboard: by a saved card, on the provider's page, after a decline, and by whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.models import Member
from billing.models.members import Role
from tests.billing.payments.cards.buyer import Buyer, buyer
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.servers.card.running import CONFIRMED_ALWAYS, VISA

pytestmark = pytest.mark.django_db(transaction=True)
__all__ = ["buyer"]
ON = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
INVOICE = "billing/invoices/INV-000001/"
PAY = f"{INVOICE}pay/"


@pytest.fixture
def carol_there(buyer: Buyer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(buyer.customer.user)


def go_on(said: str) -> str:
    found = ON.search(said)
    assert found is not None
    return unescape(found[1])


def come_back(person: Person, url: str) -> str:
    parts = urlsplit(url)
    return unescape(person.client.get(f"{parts.path}?{parts.query}", follow=True).text)


def test_the_invoice_leads_to_the_page_and_a_saved_card_pays(buyer: Buyer, carol_there: Person) -> None:
    card = buyer.card()
    assert PAY in carol_there.open(INVOICE) and PAY in carol_there.open("billing/")
    page = carol_there.open(PAY)
    assert "$49.00" in page and f"Pay with {card}" in page and "Pay with another card" in page
    assert "Thank you. The invoice is paid." in carol_there.send(PAY, method=card.pk)
    assert buyer.is_paid and PAY not in carol_there.open(INVOICE)


def test_another_card_is_given_on_the_providers_page(buyer: Buyer, carol_there: Person) -> None:
    back = buyer.server.fill_in(go_on(carol_there.send(PAY, method="page")), VISA)
    assert "Thank you. The invoice is paid." in come_back(carol_there, back)
    assert buyer.is_paid


def test_a_page_that_is_open_is_gone_on_with_and_no_bank_is_named(buyer: Buyer, carol_there: Person) -> None:
    there = go_on(carol_there.send(PAY, method="page"))
    page = carol_there.open(PAY)
    assert "Go on to the payment page" in page and "Your bank" not in page
    assert go_on(carol_there.send(PAY, method="page")) == there


def test_the_link_of_the_mail_leads_to_the_bank(buyer: Buyer, carol_there: Person) -> None:
    buyer.card(CONFIRMED_ALWAYS)
    buyer.issued()
    page = carol_there.open(PAY)
    assert "Your bank asks you to confirm the payment." in page and "Confirm on the payment page" in page
    back = buyer.server.fill_in(go_on(carol_there.send(PAY, method="page")), CONFIRMED_ALWAYS, "yes")
    assert "Thank you." in come_back(carol_there, back) and buyer.is_paid


def test_who_leaves_the_page_has_paid_nothing(buyer: Buyer, carol_there: Person) -> None:
    go_on(carol_there.send(PAY, method="page"))
    (attempt,) = buyer.attempts
    said = come_back(carol_there, f"/dashboard/{INVOICE}paid/?page={attempt.page_reference}")
    assert "Nothing was paid yet." in said and not buyer.is_paid


def test_a_decline_says_why(buyer: Buyer, carol_there: Person) -> None:
    card = buyer.declining("insufficient_funds")
    said = carol_there.send(PAY, method=card.pk)
    assert "The last payment was declined." in said and "not enough money" in said


def test_a_lost_answer_is_under_way_and_offers_no_second_payment(buyer: Buyer, carol_there: Person) -> None:
    card = buyer.card()
    buyer.server.fault("lose", "POST /v1/payment_intents$")
    assert "The payment is under way." in carol_there.send(PAY, method=card.pk)
    page = carol_there.open(PAY)
    assert "A payment is under way." in page and "Pay with" not in page


def test_a_foreign_address_says_nothing(buyer: Buyer, carol_there: Person) -> None:
    assert "paid" not in come_back(carol_there, f"/dashboard/{INVOICE}paid/?page=cs_of_nobody").split("<h1")[0]


def test_past_due_is_said(buyer: Buyer, carol_there: Person) -> None:
    buyer.declining("lost_card")
    buyer.issued()
    assert "Payment is past due since" in carol_there.open("billing/")


@pytest.mark.parametrize(("role", "may"), [(Role.BILLING, True), (Role.DEVELOPER, False), (Role.VIEWER, False)])
def test_who_may_not_pay_sees_no_button(
    buyer: Buyer, bob: Customer, at_dashboard: Callable[..., Person], role: Role, may: bool
) -> None:
    Member.objects.create(account=buyer.customer.user, user=bob.user, role=role, created_at=buyer.now)
    there = at_dashboard(bob.user)
    there.send("members/act-for/", account=buyer.account)
    assert (PAY in there.open(INVOICE)) is may
    assert there.client.get(f"/dashboard/{PAY}").status_code == (200 if may else 403)


def test_while_cards_are_off_there_is_no_button(buyer: Buyer, carol_there: Person, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = ""
    assert PAY not in carol_there.open(INVOICE) + carol_there.open("billing/")
    assert carol_there.client.get(f"/dashboard/{PAY}").status_code == 302
