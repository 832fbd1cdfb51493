"""Paying in a stablecoin at the dashboard: what is shown at each step, and that nothing is shown where it is off."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.invoicing import ledger
from billing.models import Chain, CryptoRefund, PaymentRequest
from tests.billing_site.dashboard.conftest import Person
from tests.cast import Customer
from tests.chains import Shop, anvil, bill_of, deployed, shop, units

__all__ = ["anvil", "deployed", "shop"]

PAY_OUT = "billing/pay-out/usdc/"


@pytest.fixture
def bob_there(bob: Customer) -> Person:
    return Person(bob.user)


def page_of(customer: Customer) -> str:
    return f"billing/invoices/{bill_of(customer).number}/pay/usdc/"


def test_nothing_is_shown_where_no_chain_is_configured(
    shop: Shop, bob: Customer, bob_there: Person, settings: Any
) -> None:
    invoice = f"billing/invoices/{bill_of(bob).number}/"
    assert "Pay in USDC on Test chain" in bob_there.open(invoice)
    Chain.objects.update(is_enabled=False)
    assert "USDC" not in bob_there.open(invoice)
    Chain.objects.update(is_enabled=True)
    settings.CHAIN_XPUBS = {}
    assert "USDC" not in bob_there.open(invoice)
    assert "USDC" not in bob_there.open("billing/")
    assert "cannot be paid in USDC" in bob_there.send(page_of(bob))
    assert not PaymentRequest.objects.exists()


def test_the_page_says_what_to_send_and_how_it_stands(shop: Shop, bob: Customer, bob_there: Person) -> None:
    page = page_of(bob)
    shown = bob_there.send(page)
    request = PaymentRequest.objects.get()
    address = request.address.address
    for said in (address, shop.usdc.contract, "Test chain (chain 31337)", "<svg", "$29.00 is due. Nothing has been"):
        assert said in shown, said
    shop.money.pay(address, units(9))
    shop.money.mine(2)
    shop.read()
    assert "$9.00 was seen: 1 of 3 confirmations." in bob_there.open(f"{page}state/")
    shop.sure()
    part = bob_there.open(page)
    assert "$9.00 has arrived. $20.00 remains due" in part and "uint256=20000000" in part and address in part
    shop.money.pay(address, units(25))
    shop.sure()
    done = bob_there.open(page)
    assert "Paid. Thank you! $5.00 more than was due has arrived" in done and "<svg" not in done
    assert "hx-trigger" not in done, "nothing more is asked for"


def test_the_page_is_drawn_anew_where_another_amount_is_due(shop: Shop, bob: Customer, bob_there: Person) -> None:
    page = page_of(bob)
    bob_there.send(page)
    state = f"/dashboard/{page}state/?shown=29.00"
    assert "HX-Refresh" not in bob_there.client.get(state).headers
    shop.money.pay(PaymentRequest.objects.get().address.address, units(9))
    shop.money.mine()
    shop.read()
    assert bob_there.client.get(state).headers["HX-Refresh"] == "true"


def test_after_its_time_the_page_says_how_to_see_it_again(shop: Shop, bob: Customer, bob_there: Person) -> None:
    page = page_of(bob)
    bob_there.send(page)
    PaymentRequest.objects.update(shown_until=timezone.now())
    assert "<svg" not in bob_there.open(page)
    assert "<svg" in bob_there.send(page)
    assert PaymentRequest.objects.count() == 1


def test_while_the_chain_is_parked_nobody_is_asked_to_send(shop: Shop, bob: Customer, bob_there: Person) -> None:
    page = page_of(bob)
    bob_there.send(page)
    Chain.objects.update(parked_at=timezone.now())
    shown = bob_there.open(page)
    assert "are interrupted at the moment. Please send nothing now." in shown and "<svg" not in shown
    assert bob_there.client.get(f"/dashboard/{page}state/?shown=29.00").headers["HX-Refresh"] == "true"


def test_anothers_payment_is_not_there(shop: Shop, bob: Customer, carol: Customer, bob_there: Person) -> None:
    shop.ask(bill_of(carol))
    for path in (page_of(carol), f"{page_of(carol)}state/"):
        assert bob_there.client.get(f"/dashboard/{path}").status_code == 404
    assert bob_there.client.post(f"/dashboard/{page_of(carol)}").status_code == 404
    assert Client().get(f"/dashboard/{page_of(carol)}").status_code == 302


def test_balance_is_asked_back_to_an_address_that_the_customer_names(
    shop: Shop, bob: Customer, bob_there: Person
) -> None:
    assert "paid out" not in bob_there.open("billing/"), "there is no balance"
    shop.money.pay(shop.address(bill_of(bob)), units(40))
    shop.sure()
    assert "Have the balance paid out in USDC on Test chain" in bob_there.open("billing/")
    wrong = bob_there.confirm(PAY_OUT, amount="11.00", to_address="0x12")
    assert "This is no address" in wrong
    assert "At most 11.00 USD can be paid out" in bob_there.confirm(
        PAY_OUT, amount="11.01", to_address=shop.money.accounts[7]
    )
    asked = bob_there.confirm(PAY_OUT, amount="11.00", to_address=shop.money.accounts[7])
    assert "our staff will send it" in asked and shop.money.accounts[7] in asked
    assert CryptoRefund.objects.get().requested_by == bob.user
    assert ledger.balance(bob.account, "USD") == 0
