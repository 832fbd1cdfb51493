"""GET, POST, PATCH and DELETE /billing/payment-methods."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.answers import Answered
from billing.payments.cards.configured import card_gateway
from tests.cast import Customer
from tests.servers.card.running import VISA, CardServer

PATH = "/api/v1/billing/payment-methods"


def begin(customer: Customer, **headers: str) -> Any:
    return customer.api.post(PATH, {}, content_type="application/json", headers=headers)


def save(customer: Customer, server: CardServer, number: str = VISA) -> str:
    """The id of a card that the customer saves by the API; what the provider tells has come."""
    answer = begin(customer)
    assert answer.status_code == 201, answer.json()
    page = answer.json()["setup_url"]
    assert server.fill_in(page, number)
    gateway = card_gateway()
    assert gateway is not None
    seen = gateway.fetch_page(page.rsplit("/", 1)[1])
    assert isinstance(seen, Answered) and seen.value.set_up
    methods.apply_set_up(gateway, seen.value.set_up, timezone.now())
    return str(PaymentMethod.objects.latest("pk").pk)


@pytest.mark.django_db(transaction=True)
class TestSaved:
    def test_it_is_listed_newest_first(self, bob: Customer, carol: Customer, card_server: CardServer) -> None:
        assert bob.api.get(PATH).json() == {"next": None, "previous": None, "results": []}
        first, second = save(bob, card_server), save(bob, card_server, "5555555555554444")
        listed = bob.api.get(PATH).json()["results"]
        assert [each["id"] for each in listed] == [second, first]
        assert listed[1] | {"created_at": ""} == {
            "id": first,
            "type": "card",
            "brand": "visa",
            "last4": "4242",
            "exp_month": 12,
            "exp_year": 2034,
            "default": True,
            "status": "usable",
            "created_at": "",
        }
        assert carol.api.get(PATH).json()["results"] == []
        assert Client().get(PATH).status_code == 401

    def test_another_is_made_the_default(self, bob: Customer, carol: Customer, card_server: CardServer) -> None:
        first, second = save(bob, card_server), save(bob, card_server)
        answer = patch(bob, second, {"default": True})
        assert (answer.status_code, answer.json()["default"]) == (200, True)
        assert [each["default"] for each in bob.api.get(PATH).json()["results"]] == [True, False]
        assert patch(carol, first, {"default": True}).status_code == 404
        for wrong in ({"default": False}, {}, {"default": True, "brand": "visa"}, {"default": "maybe"}, []):
            assert patch(bob, first, wrong).status_code == 400
        assert patch(bob, "9" * 18, {"default": True}).status_code == 404

    def test_one_is_removed(self, bob: Customer, carol: Customer, card_server: CardServer) -> None:
        first, second = save(bob, card_server), save(bob, card_server)
        assert carol.api.delete(f"{PATH}/{first}").status_code == 404
        assert bob.api.delete(f"{PATH}/{first}").status_code == 204
        assert bob.api.delete(f"{PATH}/{first}").status_code == 404
        (left,) = bob.api.get(PATH).json()["results"]
        assert (left["id"], left["default"]) == (second, True)

    def test_under_a_key_one_page_is_begun(self, bob: Customer, card_server: CardServer) -> None:
        headers = {"idempotency-key": "one"}
        answers = [begin(bob, **headers) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert len(card_server.asked("POST /v1/checkout/sessions")) == 1
        id = save(bob, card_server)
        gone = [bob.api.delete(f"{PATH}/{id}", headers={"idempotency-key": "two"}) for _ in range(2)]
        assert [answer.status_code for answer in gone] == [204, 204]


@pytest.mark.django_db
def test_while_the_provider_is_away(bob: Customer, card_server: CardServer) -> None:
    card_server.fault("refuse", "POST")
    answer = begin(bob)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer["Retry-After"]
    assert begin(bob).status_code == 201


@pytest.mark.django_db
def test_without_a_provider_there_is_nothing_to_save(bob: Customer) -> None:
    answer = begin(bob)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert bob.api.get(PATH).json()["results"] == []
    assert bob.api.delete(f"{PATH}/1").status_code == 404


def patch(customer: Customer, id: str, body: Any) -> Any:
    return customer.api.patch(f"{PATH}/{id}", body, content_type="application/json")
