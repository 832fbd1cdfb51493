"""Forks: within the confirmations nobody notices them; deeper ones are taken back, and staff are called."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.invoicing import ledger
from billing.models import (
    Chain,
    ChainTransfer,
    Invoice,
    MoneyIn,
    OutboxMessage,
    PaymentRequest,
    Reversal,
    TransferCredit,
)
from billing.payments.chains import reorganisation
from billing.payments.chains.requests import State
from billing.payments.chains.watcher import Look
from tests.cast import Customer
from tests.chains import Shop, bill_of, stands, units


@pytest.fixture
def request_(shop: Shop, bob: Customer) -> PaymentRequest:
    return shop.ask(bill_of(bob))


def pay_and_mine(shop: Shop, request: PaymentRequest, blocks: int) -> int:
    """Gives the block before the payment's."""
    common = shop.money.head
    shop.money.mine_for_forks()
    common += 1
    shop.money.pay(request.address.address, units(29))
    shop.money.mine_for_forks(blocks)
    return common


@pytest.mark.parametrize("what", ["moved", "dropped", "another log index"])
def test_a_fork_within_the_confirmations_is_credited_right(shop: Shop, request_: PaymentRequest, what: str) -> None:
    common = pay_and_mine(shop, request_, shop.chain.confirmations)
    shop.read()
    assert stands(request_).state == State.SEEN
    shop.money.fork(common)
    if what == "another log index":
        shop.money.pay(shop.money.other, 1, gasPrice=9 * 10**9)
    if what != "dropped":
        shop.money.mine()
        shop.money.pay(request_.address.address, units(29))
    shop.sure()
    shop.sure()
    assert stands(request_).credited == (0 if what == "dropped" else 29)
    assert ChainTransfer.objects.count() == TransferCredit.objects.count() == (0 if what == "dropped" else 1)
    assert shop.fresh().parked_at is None


def test_a_fork_of_just_the_confirmations_is_not_noticed_and_a_deeper_one_is(
    shop: Shop, request_: PaymentRequest
) -> None:
    common = pay_and_mine(shop, request_, shop.chain.confirmations + 1)
    shop.read()
    assert stands(request_).state == State.PAID
    shop.money.fork(common + 1)  # the payment's block stays: all that followed is another chain
    shop.money.mine(shop.chain.confirmations + 2)
    assert shop.tick() == Look.READ


def test_a_deeper_fork_takes_back_reopens_and_calls_staff(shop: Shop, request_: PaymentRequest, bob: Customer) -> None:
    common = pay_and_mine(shop, request_, shop.chain.confirmations + 3)
    shop.read()
    assert stands(request_).state == State.PAID
    shop.money.fork(common)
    shop.money.mine(shop.chain.confirmations + 4)
    assert shop.tick() == Look.REORGANISED
    chain = shop.fresh()
    assert chain.parked_at is not None and "Reorganised after block" in chain.parked_because
    assert shop.tick() == Look.OFF, "nothing is read until staff release it"
    invoice = Invoice.objects.get(pk=request_.invoice_id)
    assert (invoice.status, invoice.due, stands(request_).state) == ("open", 29, State.REVERSED)
    assert Reversal.objects.get().amount == 29
    assert ChainTransfer.objects.get().state == "reversed"
    assert OutboxMessage.objects.filter(kind="invoice.reopened").count() == 1
    request_.refresh_from_db()
    assert request_.closed_at is None

    reorganisation.release(chain)
    shop.money.pay(request_.address.address, units(29))
    shop.sure()
    assert stands(request_).state == State.PAID
    assert sorted(TransferCredit.objects.values_list("amount", flat=True)) == [-29, 29, 29]
    assert MoneyIn.objects.count() == 2, "the same sum after a reversal is another money"
    assert ledger.balance(bob.account, "USD") == 0


def test_what_is_mined_again_after_a_deep_fork_is_credited_again(shop: Shop, request_: PaymentRequest) -> None:
    common = pay_and_mine(shop, request_, shop.chain.confirmations + 3)
    shop.read()
    shop.money.fork(common)
    shop.money.mine()
    shop.money.pay(request_.address.address, units(29))
    shop.money.mine(shop.chain.confirmations + 4)
    shop.tick()
    reorganisation.release(shop.fresh())
    shop.read()
    assert stands(request_).state == State.PAID
    states = ChainTransfer.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["reversed", "credited"]


def test_a_double_spend_pays_once(shop: Shop, request_: PaymentRequest) -> None:
    """The same coins, first to us and then, on the other branch, to somebody else."""
    common = shop.money.head
    shop.money.mine_for_forks()
    common += 1
    nonce = shop.money.next_nonce()
    shop.money.pay(request_.address.address, units(29), nonce=nonce)
    shop.money.mine_for_forks(2)
    shop.read()
    shop.money.fork(common)
    shop.money.pay(shop.money.other, units(29), nonce=nonce)
    shop.sure()
    assert stands(request_).state == State.WAITING
    assert not MoneyIn.objects.exists()


def test_a_spent_balance_that_is_taken_back_is_owed(shop: Shop, request_: PaymentRequest, bob: Customer) -> None:
    common = shop.money.head
    shop.money.mine_for_forks()
    shop.money.pay(request_.address.address, units(40))
    shop.money.mine_for_forks(shop.chain.confirmations + 3)
    shop.read()
    assert ledger.balance(bob.account, "USD") == 11
    shop.money.fork(common)
    shop.money.mine(shop.chain.confirmations + 4)
    shop.tick()
    assert ledger.balance(bob.account, "USD") == 0
    assert stands(request_).due == 29


def test_a_fork_below_all_that_was_read_stops_with_one_line(shop: Shop) -> None:
    Chain.objects.update(cursor_hash="0x" + "12" * 32)
    shop.fresh().checkpoints.update(hash="0x" + "12" * 32)
    with pytest.raises(reorganisation.NodeError, match="nothing that was read"):
        shop.tick(timezone.now())
