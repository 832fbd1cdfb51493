"""GET /billing/invoices and /billing/invoices/{number}."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from billing.invoicing import credit_notes
from billing.models import Invoice
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import pay
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing/invoices"


def numbers(response: Any) -> list[str]:
    assert response.status_code == 200
    return [invoice["number"] for invoice in response.json()["results"]]


def test_one_invoice_answers_as_the_contract_says(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-31T08:00:00Z"):
        bob = customer("bob", "starter")
        response = bob.api.get(f"{PATH}/INV-000001")
    assert response.content == (
        b'{"number":"INV-000001","issued_at":"2025-01-31T08:00:00Z","due_at":"2025-01-31T08:00:00Z","status":"open",'
        b'"currency":"USD","lines":[{"kind":"base","description":"Starter","amount":29.00,'
        b'"period_start":"2025-01-31T08:00:00Z","period_end":"2025-02-28T08:00:00Z"}],'
        b'"net":29.00,"tax":0.00,"gross":29.00,"total":29.00,"amount_due":29.00,"taxes":[],"reverse_charge":false,'
        b'"seller":null,"buyer":null,"payments":[],"credit_notes":[],"pdf":null}'
    )


def test_its_times_are_to_the_second_as_all_others(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-31T08:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-02-03T10:20:30.456789Z")
        assert bob.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).status_code == 200
        invoice = bob.api.get(PATH).json()["results"][0]
    assert invoice["issued_at"] == invoice["lines"][0]["period_start"] == "2025-02-03T10:20:30Z"


def test_they_are_listed_newest_first_and_in_pages(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-07-01T00:00:00Z")
        # Six of one instant: the number decides.
        renewal.renew_due(datetime(2025, 7, 1, tzinfo=UTC))
        assert numbers(bob.api.get(PATH)) == [f"INV-00000{n}" for n in range(7, 0, -1)]
        seen, page = [], bob.api.get(PATH, {"limit": 3})
        while True:
            seen.append(numbers(page))
            if page.json()["next"] is None:
                break
            page = bob.api.get(page.json()["next"])
        back = bob.api.get(page.json()["previous"])
    assert [len(page) for page in seen] == [3, 3, 1]
    assert sum(seen, []) == [f"INV-00000{n}" for n in range(7, 0, -1)]  # noqa: RUF017
    assert numbers(back) == seen[1]


def test_a_list_is_read_in_as_many_queries_as_one_invoice(
    customer: Callable[..., Customer], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with moved_by_hand("2025-01-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-07-01T00:00:00Z")
        renewal.renew_due(datetime(2025, 7, 1, tzinfo=UTC))
        bob.api.get(PATH)
        with django_assert_num_queries(5):
            bob.api.get(PATH)


def test_lines_add_up_to_the_total_and_the_balance_is_one_of_them(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        (first,) = Invoice.objects.all()
        pay(first, Decimal(29), datetime(2025, 1, 2, tzinfo=UTC), "bank 1")
        credit_notes.credit(first, Decimal("4.50"), "goodwill", datetime(2025, 1, 3, tzinfo=UTC))
        clock.move_to("2025-02-01T00:00:00Z")
        renewal.renew_due(datetime(2025, 2, 1, tzinfo=UTC))
        shown = bob.api.get(f"{PATH}/INV-000002").json()
    assert [line["amount"] for line in shown["lines"]] == [29, -4.5]
    assert shown["total"] == 24.5


def test_a_free_plan_is_not_invoiced(alice: Customer) -> None:
    assert alice.api.get(PATH).json() == {"next": None, "previous": None, "results": []}


def test_nobody_sees_anothers(bob: Customer, carol: Customer) -> None:
    (of_bob,), (of_carol,) = (numbers(each.api.get(PATH)) for each in (bob, carol))
    assert of_bob != of_carol
    assert bob.api.get(f"{PATH}/{of_bob}").status_code == 200
    refused = carol.api.get(f"{PATH}/{of_bob}")
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert refused.json() == carol.api.get(f"{PATH}/INV-999999").json()
    assert Client().get(f"{PATH}/{of_bob}").status_code == 401
    assert Client().get(PATH).status_code == 401


def test_numbers_of_another_shape_are_not_found(bob: Customer) -> None:
    for number in ("inv-000001", "1", "INV-1", "INV%00", "INV-000001%20", "x" * 5000, "%F0%9F%92%A9", "../invoices"):
        assert bob.api.get(f"{PATH}/{number}").status_code == 404, number


def test_a_draft_is_not_shown(bob: Customer) -> None:
    (invoice,) = Invoice.objects.all()
    draft = Invoice(account=bob.user, subscription=invoice.subscription, currency="USD", total=0)
    draft.save()
    assert numbers(bob.api.get(PATH)) == ["INV-000001"]


def test_parameters_of_the_wrong_kind(bob: Customer) -> None:
    for name, value in (("cursor", "nonsense"), ("cursor", "cD1hYmM="), ("limit", "0"), ("limit", "x"), ("page", "2")):
        response = bob.api.get(PATH, {name: value})
        assert (response.status_code, list(response.json()["errors"])) == (400, [name])


def test_they_show_in_the_browsable_api(bob: Customer) -> None:
    browser = Client()
    browser.force_login(bob.user)
    assert b"INV-000001" in browser.get(PATH, headers={"accept": "text/html"}).content
