"""POST /billing/invoices/{number}/pay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from billing.invoicing import credit_notes
from tests.billing.payments.cards.buyer import Buyer, buyer
from tests.cast import Customer
from tests.servers.card.running import CONFIRMED_ALWAYS, VISA

pytestmark = pytest.mark.django_db
__all__ = ["buyer"]


def pay(buyer: Buyer, method: Any, **headers: str) -> Any:
    return buyer.customer.post(f"/api/v1/billing/invoices/{buyer.invoice}/pay", {"method": method}, **headers)


def test_card_is_the_default_card(buyer: Buyer) -> None:
    buyer.card()
    response = pay(buyer, "card")
    assert (response.status_code, response.json()) == (200, {"status": "paid"})
    assert buyer.is_paid


def test_without_one_it_leads_to_the_payment_page_and_back_to_the_dashboard(buyer: Buyer) -> None:
    response = pay(buyer, "card")
    assert response.status_code == 202 and response.json()["status"] == "action_required"
    there = buyer.server.fill_in(response.json()["url"], VISA)
    assert f"/dashboard/billing/invoices/{buyer.invoice}/paid/?page=cs_" in there
    buyer.tell(buyer.now)
    assert buyer.is_paid


def test_a_saved_card_is_named_by_its_id(buyer: Buyer) -> None:
    first = buyer.card()
    buyer.card()
    assert pay(buyer, str(first.pk)).status_code == 200
    assert buyer.attempts[0].method == first


def test_a_decline_says_why_and_whether_waiting_helps(buyer: Buyer) -> None:
    card = buyer.declining("insufficient_funds")
    response = pay(buyer, str(card.pk))
    assert response.status_code == 402
    body = response.json()
    assert (body["code"], body["decline_code"], body["retryable"]) == ("payment_failed", "insufficient_funds", True)
    buyer.server.decline(card=card.reference, code="lost_card")
    assert pay(buyer, str(card.pk)).json()["retryable"] is False


def test_a_bank_that_asks_is_a_page_to_go_on_at(buyer: Buyer) -> None:
    buyer.card(CONFIRMED_ALWAYS)
    response = pay(buyer, "card")
    assert (response.status_code, response.json()["status"]) == (202, "action_required")
    assert buyer.server.fill_in(response.json()["url"], CONFIRMED_ALWAYS, "yes")


def test_a_lost_answer_is_processing(buyer: Buyer) -> None:
    buyer.card()
    buyer.server.fault("lose", "POST /v1/payment_intents$")
    response = pay(buyer, "card")
    assert (response.status_code, response.json()) == (202, {"status": "processing"})


@pytest.mark.parametrize("how", ["paid", "void"])
def test_what_is_not_open_is_not_payable(buyer: Buyer, how: str) -> None:
    buyer.card()
    if how == "void":
        credit_notes.void(buyer.invoice, buyer.now)
    else:
        buyer.issued()
    response = pay(buyer, "card")
    assert (response.status_code, response.json()["code"]) == (409, "not_payable")


@pytest.mark.parametrize("method", ["", "nonsense", "99999999", "USDC"])
def test_a_method_that_there_is_not_is_named(buyer: Buyer, method: str) -> None:
    response = pay(buyer, method)
    assert response.status_code == 400 and "method" in response.json()["errors"]


def test_another_customers_invoice_and_card_are_not_found(buyer: Buyer, customer: Callable[..., Customer]) -> None:
    card = buyer.card()
    bob = customer("bob", "starter")
    assert bob.post(f"/api/v1/billing/invoices/{buyer.invoice}/pay", {"method": "card"}).status_code == 404
    own = bob.user.invoices.get()
    response = bob.post(f"/api/v1/billing/invoices/{own}/pay", {"method": str(card.pk)})
    assert response.status_code == 400 and buyer.charged == 0


def test_sent_again_under_its_key_it_is_the_same_answer(buyer: Buyer) -> None:
    buyer.card()
    first, second = (pay(buyer, "card", **{"idempotency-key": "pay 1"}) for _ in range(2))
    assert first.content == second.content and second["Idempotency-Replayed"] == "true"
    assert buyer.charged == 1


def test_a_provider_that_is_away_is_503(buyer: Buyer) -> None:
    buyer.server.fault("refuse", "POST /v1/checkout/sessions$")
    assert pay(buyer, "card").status_code == 503


def test_while_cards_are_off_there_is_no_card(carol: Customer) -> None:
    invoice = carol.user.invoices.get()
    response = carol.post(f"/api/v1/billing/invoices/{invoice}/pay", {"method": "card"})
    assert response.status_code == 400
