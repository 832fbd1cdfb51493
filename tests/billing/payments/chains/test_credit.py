"""What arrives at an address, in whatever pieces and tokens, becomes the money that it is, once."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billing.invoicing import credit_notes, ledger
from billing.models import ChainTransfer, CreditNote, Invoice, MoneyIn, TransferCredit
from billing.payments.chains import watcher
from billing.payments.chains.requests import State
from billing.payments.receive import receive
from tests.cast import Customer
from tests.chains import Shop, bill_of, stands, units


def credits(invoice: Invoice) -> list[Decimal]:
    return list(TransferCredit.objects.filter(address__invoice=invoice).values_list("amount", flat=True))


def test_exact_amount_pays_after_the_last_confirmation_and_not_before(shop: Shop, bob: Customer) -> None:
    invoice = bill_of(bob)
    request = shop.ask(invoice)
    assert stands(request).state == State.WAITING
    shop.money.pay(request.address.address, units(29))
    for confirmations in range(shop.chain.confirmations):
        shop.money.mine()
        shop.read()
        shown = stands(request)
        assert (shown.state, shown.confirmations, shown.to_send) == (State.SEEN, confirmations, 0)
        assert bill_of(bob) == invoice
    shop.money.mine()
    shop.read()
    invoice.refresh_from_db()
    assert (invoice.status, stands(request).state) == ("paid", State.PAID)
    money = MoneyIn.objects.get()
    assert (money.source, money.amount) == ("eip155:31337", 29)
    assert money.reference == f"{request.address.address}/29000000"
    request.refresh_from_db()
    assert request.closed_at is not None


def test_two_parts_make_one(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(20))
    shop.sure()
    shown = stands(request)
    assert (shown.state, shown.due, shown.to_send) == (State.PART_PAID, 9, 9)
    assert shop.ask(request.invoice).address == request.address, "the rest is asked for at the same address"
    shop.money.pay(request.address.address, units(9))
    shop.sure()
    assert stands(request).state == State.PAID
    assert credits(request.invoice) == [20, 9]


def test_a_little_too_little_is_made_up_for_where_it_is_tolerated(shop: Shop, bob: Customer) -> None:
    shop.usdc.tolerance = Decimal("0.50")
    shop.usdc.save()
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units("28.49"))
    shop.sure()
    assert stands(request).due == Decimal("0.51")
    assert not CreditNote.objects.exists()
    shop.money.pay(request.address.address, units("0.01"))
    shop.sure()
    assert CreditNote.objects.get().amount == Decimal("0.50")
    assert stands(request).state == State.PAID


def test_too_much_pays_and_the_rest_is_balance(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units("30.50"))
    shop.sure()
    shown = stands(request)
    assert (shown.state, shown.over) == (State.OVER, Decimal("1.50"))
    assert ledger.balance(bob.account, "USD") == Decimal("1.50")


def test_paid_twice_is_balance(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    for _ in range(2):
        shop.money.pay(request.address.address, units(29))
        shop.sure()
    assert ledger.balance(bob.account, "USD") == 29
    assert stands(request).state == State.OVER


@pytest.mark.parametrize("how", ["late", "void", "by card"])
def test_money_for_an_invoice_that_is_not_due_is_balance(shop: Shop, bob: Customer, how: str) -> None:
    invoice, now = bill_of(bob), timezone.now()
    request = shop.ask(invoice)
    if how == "void":
        credit_notes.void(invoice, now)
    elif how == "by card":
        receive(bob.account, "USD", Decimal(29), "card", "ch_1", now, now, invoice)
    else:
        request.shown_until = now
        request.save()
    shop.money.pay(request.address.address, units(29))
    shop.sure()
    assert ledger.balance(bob.account, "USD") == (0 if how == "late" else 29)
    invoice.refresh_from_db()
    assert invoice.status == ("void" if how == "void" else "paid")


def test_three_logs_of_one_transaction_are_three_transfers(shop: Shop, bob: Customer, carol: Customer) -> None:
    one, other = shop.ask(bill_of(bob)), shop.ask(bill_of(carol))
    to = [one.address.address, other.address.address, one.address.address]
    shop.money.pay_many(to, [units(10), units(49), units(19)])
    shop.sure()
    assert ChainTransfer.objects.count() == 3
    assert {stands(one).state, stands(other).state} == {State.PAID}


def test_dust_adds_up_to_the_cent(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    for part in range(100):
        shop.money.pay(request.address.address, units("0.004"))
        if part % 10 == 0:
            shop.sure()
    shop.sure()
    assert sum(credits(request.invoice)) == Decimal("0.40")
    assert stands(request).due == Decimal("28.60")


@pytest.mark.parametrize("which", ["fee", "liar"])
def test_another_token_is_listed_and_never_credited(shop: Shop, bob: Customer, which: str) -> None:
    request = shop.ask(bill_of(bob))
    token: Any = getattr(shop.money, which)
    shop.money.pay(request.address.address, units(29), token)
    shop.sure()
    listed = ChainTransfer.objects.get()
    assert (listed.state, listed.token, listed.contract) == ("foreign", None, token.address)
    assert (stands(request).state, MoneyIn.objects.count()) == (State.WAITING, 0)


@pytest.mark.parametrize("amount", [2**256 - 1, 10**17 + 1])
def test_more_than_there_can_be_is_no_money(shop: Shop, bob: Customer, amount: int) -> None:
    request = shop.ask(bill_of(bob))
    if amount == 2**256 - 1:
        shop.money.pay(request.address.address, amount, shop.money.liar)
    else:
        shop.money.mint(request.address.address, amount)
    shop.sure()
    listed = ChainTransfer.objects.get()
    assert (int(listed.units), listed.state) == (amount, "foreign")
    shop.money.pay(request.address.address, units(29))
    shop.sure()
    assert stands(request).state == State.PAID


def test_a_token_that_keeps_a_fee_is_credited_with_what_arrived(shop: Shop, bob: Customer) -> None:
    """Staff may have listed it: what counts is what the address got, not what was sent."""
    shop.usdc.contract = shop.money.fee.address
    shop.usdc.save()
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29), shop.money.fee)
    shop.sure()
    assert credits(request.invoice) == [Decimal("28.71")]


def test_the_chains_own_coin_is_listed_once_for_each_time_it_comes(
    shop: Shop, bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "BALANCE_BLOCKS", 1)
    request = shop.ask(bill_of(bob))
    for wei in (5, 7):
        shop.money.pay_coin(request.address.address, wei)
        shop.sure()
        shop.sure()
    listed = ChainTransfer.objects.order_by("pk").values_list("units", "state", "contract")
    assert list(listed) == [(5, "foreign", ""), (7, "foreign", "")]
    assert stands(request).state == State.WAITING


def test_a_failed_transaction_is_nothing(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    tx = shop.money.pay(request.address.address, units(29), sender=shop.money.other)  # who has none
    shop.sure()
    assert shop.money.receipt(tx)["status"] == "0x0"
    assert not ChainTransfer.objects.exists()


def test_a_replaced_transaction_counts_as_what_replaced_it(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    nonce = shop.money.next_nonce()
    shop.money.pay(request.address.address, units(29), nonce=nonce, gasPrice=2 * 10**9)
    shop.money.pay(request.address.address, units(9), nonce=nonce, gasPrice=4 * 10**9)
    shop.sure()
    assert credits(request.invoice) == [9]


def test_nothing_is_credited_for_nothing(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, 0)
    shop.sure()
    assert not ChainTransfer.objects.exists()
