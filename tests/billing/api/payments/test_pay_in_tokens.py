"""POST /billing/invoices/{number}/pay in a stablecoin: what a wallet needs, and nothing more than is due."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import PaymentRequest
from tests.cast import Customer
from tests.chains import Shop, anvil, bill_of, deployed, shop, units

__all__ = ["anvil", "deployed", "shop"]


def pay(customer: Customer, number: str | None, method: str = "usdc", **headers: str) -> Any:
    return customer.post(f"/api/v1/billing/invoices/{number}/pay", {"method": method}, **headers)


def test_the_answer_is_what_a_wallet_needs(shop: Shop, bob: Customer) -> None:
    answer = pay(bob, bill_of(bob).number)
    assert answer.status_code == 201
    request = answer.json()["request"]
    assert set(request) == {
        *("chain_id", "chain", "token", "contract", "address", "amount", "uri", "qr", "shown_until")
    }
    assert (request["chain_id"], request["chain"], request["token"]) == (31337, "Test chain", "usdc")
    assert (request["contract"], request["amount"]) == (shop.usdc.contract, 29.00)
    assert request["uri"].endswith(f"/transfer?address={request['address']}&uint256=29000000")
    assert request["qr"].startswith("<svg")
    assert len(request["shown_until"]) == len("2025-10-17T09:30:00Z"), "to the second, as all times of invoices"


@pytest.mark.parametrize("method", ["USDC", "uSdC"])
def test_a_token_is_known_by_its_symbol_too(shop: Shop, bob: Customer, method: str) -> None:
    answer = pay(bob, bill_of(bob).number, method)
    assert (answer.status_code, answer.json()["request"]["token"]) == (201, "usdc")


def test_asked_again_it_is_the_same_address_and_what_is_left(shop: Shop, bob: Customer) -> None:
    number = bill_of(bob).number
    first = pay(bob, number, idempotency_key="a").json()["request"]
    assert pay(bob, number, idempotency_key="a").json()["request"] == first
    shop.money.pay(first["address"], units(9))
    shop.sure()
    second = pay(bob, number).json()["request"]
    assert (second["address"], second["amount"]) == (first["address"], 20.00)
    shop.money.pay(first["address"], units(20))
    shop.money.mine()
    shop.read()
    on_its_way = pay(bob, number)
    assert (on_its_way.status_code, on_its_way.json()["code"]) == (409, "not_payable")
    shop.sure()
    assert pay(bob, number).status_code == 409


def test_what_cannot_be_paid_so_is_refused(shop: Shop, bob: Customer, carol: Customer) -> None:
    unknown = pay(bob, bill_of(bob).number, "dai")
    assert (unknown.status_code, "Give usdc." in unknown.text) == (400, True)
    assert pay(bob, bill_of(carol).number).status_code == 404
    invoice = bill_of(bob)
    credit_notes.void(invoice, timezone.now())
    assert pay(bob, invoice.number).status_code == 409
    assert not PaymentRequest.objects.exists()
