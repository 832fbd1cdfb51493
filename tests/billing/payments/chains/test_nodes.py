"""Nodes that fail, lag, find too much, or are of another chain: what is not believed, and who is told."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.models import Chain
from billing.payments.chains import watcher
from billing.payments.chains.reading import NodeError, WrongChain
from billing.payments.chains.refusals import ChainRefused
from billing.payments.chains.requests import State
from billing.payments.chains.rpc import RpcNode
from billing.payments.chains.watcher import Look
from tests.cast import Customer
from tests.chains import Shop, bill_of, stands, units
from tests.servers.chain.front import Front


def test_what_a_node_finds_too_much_is_asked_for_in_halves(shop: Shop, front: Front, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    for _ in range(7):
        shop.money.pay(request.address.address, units(1))
        shop.money.mine(2)
    front.most_blocks = 2
    shop.sure()
    assert stands(request).credited == 7
    front.most_blocks = 0
    shop.money.mine()
    with pytest.raises(NodeError, match="declines"):
        shop.tick()


@pytest.mark.parametrize("fault", ["drops", "status"])
def test_a_node_that_fails_changes_nothing(shop: Shop, front: Front, bob: Customer, fault: str) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    shop.money.mine(shop.chain.confirmations + 1)
    setattr(front, fault, True if fault == "drops" else 503)
    cursor = shop.fresh().cursor_number
    with pytest.raises(NodeError) as failure:
        shop.tick()
    assert "127.0.0.1" not in str(failure.value), "an address may hold a secret"
    assert shop.fresh().cursor_number == cursor
    front.drops, front.status = False, 200
    shop.read()
    assert stands(request).state == State.PAID


def test_a_node_of_another_chain_is_not_believed(shop: Shop, front: Front) -> None:
    front.answers["eth_chainId"] = "0x1"
    with pytest.raises(WrongChain, match="chain 1, not 31337"):
        watcher.verify(shop.chain, shop.node)
    with pytest.raises(WrongChain):
        shop.tick()


def test_a_node_with_another_first_block_is_not_believed(shop: Shop) -> None:
    Chain.objects.update(genesis_hash="0x" + "12" * 32)
    with pytest.raises(WrongChain, match="another genesis"):
        watcher.verify(shop.fresh(), shop.node)


@pytest.mark.parametrize(("column", "value"), [("chain_id", 1), ("genesis_hash", "0x" + "12" * 32)])
def test_the_command_stops_with_one_line_at_a_node_of_another_chain(
    shop: Shop, settings: Any, column: str, value: Any
) -> None:
    Chain.objects.update(**{column: value})
    settings.CHAIN_RPC_URLS = {"1": shop.money.url, "31337": shop.money.url}
    with pytest.raises(CommandError) as error:
        call_command("watch_chain", "--once")
    assert "\n" not in str(error.value)


def test_the_command_says_what_is_missing(shop: Shop, settings: Any) -> None:
    settings.CHAIN_RPC_URLS = {}
    with pytest.raises(CommandError, match="CHAIN_RPC_URLS=31337="):
        call_command("watch_chain", "--once")
    with pytest.raises(CommandError, match="no chain 5"):
        call_command("watch_chain", "5", "--once")
    Chain.objects.update(is_enabled=False)
    with pytest.raises(CommandError, match="no enabled chain"):
        call_command("watch_chain", "--once")


def test_an_old_head_is_a_stalled_chain_until_it_goes_on(shop: Shop) -> None:
    at = head_at(shop)
    for seconds, stalled in ((299, False), (300, False), (301, True)):
        now = at + timedelta(seconds=seconds)
        shop.tick(now)
        assert shop.fresh().is_stalled(now) == stalled, seconds
    since = shop.fresh().stalled_since
    shop.tick(at + timedelta(seconds=400))
    assert shop.fresh().stalled_since == since, "the first instant is kept"
    shop.money.mine()
    shop.tick(head_at(shop))
    assert shop.fresh().stalled_since is None


def test_a_chain_that_nobody_reads_is_stalled(shop: Shop) -> None:
    chain = shop.fresh()
    assert chain.read_at is not None
    assert chain.state(chain.read_at + timedelta(minutes=5)) == "ok"
    assert chain.state(chain.read_at + timedelta(minutes=5, seconds=1)) == "stalled"
    watcher.note_failure(chain, chain.read_at + timedelta(minutes=6))
    assert shop.fresh().stalled_since == chain.read_at + timedelta(minutes=6)


def test_a_node_that_tells_its_head_and_no_transfers_is_a_stalled_chain(
    shop: Shop, front: Front, bob: Customer
) -> None:
    shop.ask(bill_of(bob))
    shop.money.mine(shop.chain.confirmations + 1)
    front.declines.add("eth_getLogs")
    now = head_at(shop)
    for minutes, state in ((5, "ok"), (6, "stalled"), (7, "stalled")):
        Chain.objects.update(read_at=now - timedelta(minutes=minutes))
        with pytest.raises(NodeError):
            shop.tick(now)
        watcher.note_failure(shop.fresh(), now)
        assert shop.fresh().state(now) == state, minutes
    assert shop.fresh().stalled_since == now
    front.declines.clear()
    shop.tick(now)
    assert (shop.fresh().state(now), shop.fresh().stalled_since) == ("ok", None)


def test_a_head_that_was_looked_at_is_not_read_again(shop: Shop, front: Front, bob: Customer) -> None:
    shop.ask(bill_of(bob))
    shop.money.mine()
    shop.read()
    front.asked.clear()
    assert shop.tick() == Look.NOTHING_NEW
    assert "eth_getLogs" not in front.asked


@pytest.mark.parametrize(("blocks", "asked"), [(1, True), (10**6, False)])
def test_the_chains_own_coin_is_asked_for_once_in_many_blocks(
    shop: Shop, front: Front, bob: Customer, monkeypatch: pytest.MonkeyPatch, blocks: int, asked: bool
) -> None:
    monkeypatch.setattr(watcher, "BALANCE_BLOCKS", blocks)
    shop.ask(bill_of(bob))
    shop.sure()
    assert ("eth_getBalance" in front.asked) == asked


def test_nobody_is_asked_to_pay_on_a_chain_before_it_is_read(shop: Shop, bob: Customer) -> None:
    """What would be paid then lies below the place where reading begins."""
    Chain.objects.update(cursor_number=None, cursor_hash="")
    with pytest.raises(ChainRefused):
        shop.ask(bill_of(bob))
    shop.tick()
    assert shop.ask(bill_of(bob)).address.address


def head_at(shop: Shop) -> datetime:
    return RpcNode(shop.money.url).head().at


def test_a_node_that_lags_behind_the_cursor_is_waited_for(shop: Shop, front: Front) -> None:
    front.answers["eth_getBlockByNumber"] = None
    with pytest.raises(NodeError):
        shop.tick()
    del front.answers["eth_getBlockByNumber"]
    Chain.objects.update(cursor_number=shop.money.head + 5)
    assert shop.tick() == Look.NOTHING_NEW


def test_a_node_that_has_forgotten_balances_holds_up_no_money(
    shop: Shop, front: Front, bob: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "BALANCE_BLOCKS", 1)
    request = shop.ask(bill_of(bob))
    front.declines.add("eth_getBalance")
    shop.money.pay(request.address.address, units(29))
    shop.sure()
    assert stands(request).state == State.PAID
