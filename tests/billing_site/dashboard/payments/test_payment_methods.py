"""Saved cards at the dashboard: added, declined with its reason, the default, removed, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest

from billing.models import Member, PaymentMethod
from billing.models.members import Role
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

pytestmark = pytest.mark.django_db(transaction=True)
ON = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
METHODS = "payment-methods/"


@pytest.fixture
def bob_there(bob: Customer, at_dashboard: Callable[..., Person]) -> Person:
    return at_dashboard(bob.user)


def go_to_provider(person: Person) -> str:
    """The provider's page that the browser is led to."""
    found = ON.search(person.send(f"{METHODS}add/"))
    assert found is not None
    return unescape(found[1])


def come_back(person: Person, url: str) -> str:
    parts = urlsplit(url)
    return unescape(person.client.get(f"{parts.path}?{parts.query}", follow=True).text)


def add(person: Person, server: CardServer, number: str = VISA, *steps: str) -> str:
    """What the page says afterwards."""
    return come_back(person, server.fill_in(go_to_provider(person), number, *steps))


def test_a_card_is_added_and_is_the_default(bob: Customer, bob_there: Person, card_server: CardServer) -> None:
    assert "No card is saved" in bob_there.open(METHODS)
    page = add(bob_there, card_server)
    assert "The card is saved." in page and "4242" in page and "default" in page
    assert PaymentMethod.objects.get().account_id == bob.account


def test_a_decline_says_why_and_nothing_is_saved(bob_there: Person, card_server: CardServer) -> None:
    page = go_to_provider(bob_there)
    assert card_server.fill_in(page, "4000000000009995") == ""
    leave = re.search(r'id="leave" href="([^"]+)"', card_server.said)
    assert leave is not None
    said = come_back(bob_there, unescape(leave[1]))
    assert "The card is not saved. The card has not enough money on it." in said
    assert "No card is saved" in said


def test_who_leaves_the_page_has_saved_nothing(bob_there: Person, card_server: CardServer) -> None:
    go_to_provider(bob_there)
    assert "No card was saved." in come_back(bob_there, "/dashboard/payment-methods/back/")


def test_a_stolen_card_is_not_called_so(bob_there: Person, card_server: CardServer) -> None:
    card_server.fill_in(go_to_provider(bob_there), "4000000000009979")
    said = come_back(bob_there, "/dashboard/payment-methods/back/")
    assert "The bank refuses the card." in said and "stolen" not in said


def test_another_default_and_the_first_removed(bob_there: Person, card_server: CardServer) -> None:
    add(bob_there, card_server)
    add(bob_there, card_server, "5555555555554444")
    first, second = PaymentMethod.objects.order_by("pk")
    assert "4444 from now on" in bob_there.send(f"{METHODS}{second.pk}/default/")
    assert "It is the default." in bob_there.open(f"{METHODS}{second.pk}/remove/")
    assert "4444 is removed" in bob_there.confirm(f"{METHODS}{second.pk}/remove/")
    assert "your only card" in bob_there.open(f"{METHODS}{first.pk}/remove/")
    bob_there.confirm(f"{METHODS}{first.pk}/remove/")
    assert "No card is saved" in bob_there.open(METHODS)


def test_while_the_provider_is_away(bob_there: Person, card_server: CardServer) -> None:
    card_server.fault("refuse", "POST /v1/checkout/sessions")
    assert "does not answer" in bob_there.send(f"{METHODS}add/")
    page = go_to_provider(bob_there)
    there = card_server.fill_in(page)
    card_server.fault("refuse", "GET /v1/checkout/sessions")
    assert "appears here in a minute" in come_back(bob_there, there)


def test_another_ones_page_and_card_are_not_taken(
    bob_there: Person, carol: Customer, at_dashboard: Callable[..., Person], card_server: CardServer
) -> None:
    carol_there = at_dashboard(carol.user)
    of_carol = card_server.fill_in(go_to_provider(carol_there))
    said = come_back(bob_there, of_carol)
    assert "The card is saved." not in said and not PaymentMethod.objects.exists()
    come_back(carol_there, of_carol)
    card = PaymentMethod.objects.get()
    for path in (f"{METHODS}{card.pk}/default/", f"{METHODS}{card.pk}/remove/"):
        assert bob_there.client.post(f"/dashboard/{path}").status_code == 404
    for odd in ("x" * 5000, "../../v1/customers", "\0", "cs_1?a=b", "ü"):
        assert bob_there.client.get("/dashboard/payment-methods/back/", {"page": odd}).status_code == 302


def test_who_may_not_pay_bills_sees_no_cards(
    bob: Customer, carol: Customer, at_dashboard: Callable[..., Person], card_server: CardServer
) -> None:
    for role, status in ((Role.DEVELOPER, 403), (Role.BILLING, 200)):
        Member.objects.update_or_create(
            account=bob.user, user=carol.user, defaults={"role": role, "created_at": bob.user.date_joined}
        )
        person = at_dashboard(carol.user)
        person.client.post("/dashboard/members/act-for/", {"account": bob.account})
        assert person.client.get(f"/dashboard/{METHODS}").status_code == status


def test_without_a_provider_there_is_no_page(bob_there: Person, settings: Any) -> None:
    assert bob_there.client.get(f"/dashboard/{METHODS}").status_code == 404
    assert "Payment methods" not in bob_there.open("")
