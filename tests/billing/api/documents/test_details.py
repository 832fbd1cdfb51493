"""GET and PUT /billing/details."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from billing.models import BillingDetails
from tests.cast import Customer

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing/details"
IRISH = {"name": "Bob Ltd", "address": "1 High Street\nFloor 2", "country": "IE", "vat_id": "ie 6433435-f"}
KEPT = {
    "name": "Bob Ltd",
    "address": "1 High Street\nFloor 2",
    "city": "",
    "postcode": "",
    "country": "IE",
    "vat_id": "IE6433435F",
}


def put(customer: Customer, body: Any, **headers: str) -> Any:
    return customer.api.put(PATH, body, content_type="application/json", headers=headers)


def test_there_are_none_until_they_are_given(bob: Customer, carol: Customer) -> None:
    assert bob.api.get(PATH).json() == dict.fromkeys(KEPT, "")
    answer = put(bob, IRISH)
    assert (answer.status_code, answer.json()) == (200, KEPT)
    assert bob.api.get(PATH).json() == KEPT
    assert carol.api.get(PATH).json()["name"] == "", "nobody sees another's"
    assert Client().get(PATH).status_code == 401


def test_they_are_replaced_as_a_whole(bob: Customer) -> None:
    put(bob, IRISH | {"city": "Dublin", "postcode": "D02"})
    assert put(bob, {"name": "Bob", "country": "US"}).json() == dict.fromkeys(KEPT, "") | {
        "name": "Bob",
        "country": "US",
    }
    assert BillingDetails.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"vat_id": "IE6433435E"}, "vat_id"),
        ({"vat_id": "DE136695976"}, "vat_id"),
        ({"vat_id": "\u0661\u0662\u0663"}, "vat_id"),
        ({"vat_id": "x" * 61}, "vat_id"),
        ({"country": "XX"}, "country"),
        ({"country": "ie"}, "country"),
        ({"country": "Ireland"}, "country"),
        ({"country": ""}, "country"),
        ({"country": None}, "country"),
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "Bob\nLtd"}, "name"),
        ({"name": "Bob\u0007"}, "name"),
        ({"address": "a\u0000b"}, "address"),
        ({"address": "a\u001bb"}, "address"),
        ({"address": "x" * 501}, "address"),
        ({"address": ["a", "b"]}, "address"),
        ({"city": "x" * 101}, "city"),
        ({"postcode": 5}, "postcode"),
        ({"email": "x@example.com"}, "email"),
    ],
)
def test_what_is_wrong_is_named(bob: Customer, wrong: dict[str, Any], field: str) -> None:
    answer = put(bob, IRISH | wrong)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not BillingDetails.objects.exists()


@pytest.mark.parametrize(
    ("country", "typed", "kept"),
    [
        ("DE", "de 136 695 976", "DE136695976"),
        ("DE", "136695976", "DE136695976"),
        ("GR", "EL094259216", "EL094259216"),
        ("GR", "094259216", "EL094259216"),
        ("FR", "40303265045", "FR40303265045"),
        ("AT", "U13585627", "ATU13585627"),
        ("CH", "CHE-107.787.577 IVA", "CHE107787577IVA"),
        ("GB", "GB 980 7806 84", "980780684"),
        ("US", "12-3456789", "123456789"),
        ("US", " ", ""),
    ],
)
def test_a_vat_number_is_kept_in_one_form(bob: Customer, country: str, typed: str, kept: str) -> None:
    assert put(bob, {"name": "Bob", "country": country, "vat_id": typed}).json()["vat_id"] == kept


def test_a_retried_put_is_answered_again(bob: Customer) -> None:
    key = {"idempotency-key": "one"}
    first, again = put(bob, IRISH, **key), put(bob, IRISH, **key)
    assert (first.content, again.headers["Idempotency-Replayed"]) == (again.content, "true")
