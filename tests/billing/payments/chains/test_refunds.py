"""Pay-outs: asked for by the customer, approved and sent by staff, confirmed by the watcher, once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import ledger
from billing.invoicing.ledger import BillingError
from billing.models import CryptoRefund, Refund
from billing.outbox.kinds import Happened
from billing.payments.chains import refunds
from billing.payments.chains.refusals import ChainRefused
from tests.billing.mails.mailing import mail_about
from tests.cast import Customer
from tests.chains import Shop, bill_of, units


@pytest.fixture
def paid_too_much(shop: Shop, bob: Customer) -> Shop:
    """Bob has a balance of 11."""
    shop.money.pay(shop.address(bill_of(bob)), units(40))
    shop.sure()
    return shop


def ask(shop: Shop, who: Customer, amount: Any, to: str = "") -> CryptoRefund:
    to = to or shop.money.accounts[7]
    return refunds.request_refund(who.account, shop.usdc, Decimal(str(amount)), to, who.user, timezone.now())


def send(shop: Shop, *asked: CryptoRefund) -> str:
    """As staff's wallet does, several in one transaction."""
    return shop.money.pay_many([each.to_address for each in asked], [int(each.units) for each in asked])


def test_a_refund_is_sent_by_staff_and_confirmed_once(paid_too_much: Shop, bob: Customer) -> None:
    shop, now = paid_too_much, timezone.now()
    asked = ask(shop, bob, 11)
    assert ledger.balance(bob.account, "USD") == 0, "nobody can spend it meanwhile"
    refunds.approve(asked, bob.user, now)
    contract, recipient = shop.usdc.contract, asked.to_address
    assert refunds.link(asked) == f"ethereum:{contract}@31337/transfer?address={recipient}&uint256=11000000"
    tx = send(shop, asked)
    refunds.note_sent(asked, tx, now)
    shop.money.mine(shop.chain.confirmations)
    shop.read()
    asked.refresh_from_db()
    assert asked.state == "sent"
    shop.money.mine()
    for _ in range(3):
        shop.tick()
    asked.refresh_from_db()
    assert (asked.state, asked.refund.state) == ("confirmed", "succeeded")
    assert asked.refund.reference == f"{tx}/{asked.log_index}"
    assert ledger.balance(bob.account, "USD") == 0
    bob.user.email = "bob@customers.example"
    bob.user.save()
    assert f"11.00 USD was sent to {recipient}." in mail_about(Happened.REFUND_SUCCEEDED, bob.account).body


def test_two_equal_refunds_of_one_transaction_are_two_transfers(paid_too_much: Shop, bob: Customer) -> None:
    shop, now = paid_too_much, timezone.now()
    first = refunds.approve(ask(shop, bob, 5), bob.user, now)
    second = refunds.approve(ask(shop, bob, 5), bob.user, now)
    tx = send(shop, first)
    for each in (first, second):
        refunds.note_sent(each, tx, now)
    shop.sure()
    states = list(CryptoRefund.objects.order_by("pk").values_list("state", flat=True))
    assert states == ["confirmed", "approved"], "one transfer confirms one of them"
    second.refresh_from_db()
    assert "does not transfer" in second.problem


@pytest.mark.parametrize("fault", ["failed", "another amount", "another token", "another address"])
def test_a_transaction_that_does_not_pay_it_confirms_nothing(paid_too_much: Shop, bob: Customer, fault: str) -> None:
    shop, now = paid_too_much, timezone.now()
    asked = refunds.approve(ask(shop, bob, 11), bob.user, now)
    to, amount, token, sender = asked.to_address, int(asked.units), shop.money.dollar, shop.money.payer
    if fault == "failed":
        sender = shop.money.other  # has none
    elif fault == "another amount":
        amount -= 1
    elif fault == "another token":
        token = shop.money.liar
    else:
        to = shop.money.accounts[8]
    refunds.note_sent(asked, shop.money.pay(to, amount, token, sender), now)
    shop.sure()
    asked.refresh_from_db()
    assert (asked.state, asked.tx_hash) == ("approved", "")
    assert ("has failed" if fault == "failed" else "does not transfer") in asked.problem
    assert Refund.objects.get().state == "sent"


def test_what_is_declined_is_balance_again(paid_too_much: Shop, bob: Customer) -> None:
    asked = ask(paid_too_much, bob, 11)
    refunds.decline(asked, bob.user, timezone.now())
    assert ledger.balance(bob.account, "USD") == 11
    with pytest.raises(ChainRefused, match="refund_state"):
        refunds.approve(asked, bob.user, timezone.now())


def test_no_more_than_was_received_is_paid_out_and_one_at_a_time(paid_too_much: Shop, bob: Customer) -> None:
    with pytest.raises(BillingError, match="refund_out_of_bounds"):
        ask(paid_too_much, bob, "11.01")
    ask(paid_too_much, bob, 5)
    with pytest.raises(ChainRefused, match="refund_asked_before"):
        ask(paid_too_much, bob, 5)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("bob", "form"),
        ("0x" + "g" * 40, "form"),
        ("9965507D1a55bcC2695C58ba16FB37d819B0A4dc", "form"),
        ("0x9965507d1a55bcC2695C58ba16FB37d819B0A4dc", "checksum"),
        ("0x" + "0" * 40, "ours"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(
    paid_too_much: Shop, bob: Customer, address: str, reason: str
) -> None:
    with pytest.raises(ChainRefused) as refused:
        ask(paid_too_much, bob, 1, address)
    assert refused.value.parameters["reason"] == reason


def test_neither_a_deposit_address_nor_the_contract_gets_a_refund(
    paid_too_much: Shop, bob: Customer, carol: Customer
) -> None:
    for address in (paid_too_much.address(bill_of(carol)), paid_too_much.usdc.contract):
        with pytest.raises(ChainRefused, match="ours"):
            ask(paid_too_much, bob, 1, address)
