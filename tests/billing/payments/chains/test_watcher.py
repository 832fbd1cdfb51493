"""A look at a chain: what it waits for, what it shows, and what it leaves to the next one."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from billing.models import Chain, ChainCheckpoint, ChainTransfer, Invoice, MoneyIn, SeenTransfer
from billing.payments.chains import recording, watcher
from billing.payments.chains.requests import State
from billing.payments.chains.rpc import RpcNode
from billing.payments.chains.watcher import Look
from tests.billing.waiting import IN_THIS_DATABASE
from tests.cast import Customer
from tests.chains import Shop, bill_of, of_long_ago, stands, units
from tests.servers.chain.front import Front


def test_the_first_look_begins_at_what_counts_by_now(shop: Shop) -> None:
    chain = shop.fresh()
    assert chain.cursor_number == shop.money.head - chain.confirmations
    assert chain.cursor_hash == shop.money.hash_of(chain.cursor_number)


def test_a_payment_in_the_very_block_after_the_address_was_given_out_is_seen(shop: Shop, bob: Customer) -> None:
    """Also where blocks count at once: the head is asked before the addresses are."""
    shop.chain.confirmations = 0
    shop.chain.save()
    shop.read()
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    shop.money.mine()
    shop.read()
    assert stands(request).state == State.PAID


@pytest.mark.django_db(transaction=True)
def test_an_address_that_is_given_out_and_paid_during_a_look_is_seen_by_the_next(
    shop: Shop, front: Front, bob: Customer
) -> None:
    shop.chain.confirmations = 0
    shop.chain.save()
    shop.read()
    shop.money.mine()
    paid: list[Any] = []

    def pay(method: str) -> None:
        if method == "eth_getBlockByNumber" and not paid:  # the head is being asked for
            front.before = lambda method: None
            shop.money.mine()
            paid.append(shop.ask(bill_of(bob)))
            shop.money.pay(paid[0].address.address, units(29))
            shop.money.mine()
            connection.close()  # this thread's

    front.before = pay
    shop.tick()
    shop.read()
    assert stands(paid[0]).state == State.PAID


def test_a_chain_that_moves_while_it_is_read_is_read_again(shop: Shop, front: Front, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    common = shop.money.head
    shop.money.mine_for_forks(shop.chain.confirmations + 1)

    def fork(method: str) -> None:
        if method == "eth_getLogs":
            front.before = lambda method: None
            shop.money.fork(common)
            shop.money.mine(shop.chain.confirmations + 2)

    front.before = fork
    assert shop.tick() == Look.MOVED
    assert not ChainTransfer.objects.exists()
    shop.read()
    assert not MoneyIn.objects.exists(), "the payment is no part of the chain any more"


def test_only_what_is_finalized_counts_where_the_chain_says_so(shop: Shop, bob: Customer) -> None:
    shop.chain.use_finalized = True
    shop.chain.save()
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    shop.sure()
    assert stands(request).state == State.SEEN
    shop.money.mine(64)  # two epochs
    shop.read()
    assert stands(request).state == State.PAID


def test_a_long_way_is_read_in_parts(shop: Shop, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "CHUNK", 4)
    request = shop.ask(bill_of(bob))
    for _ in range(10):
        shop.money.pay(request.address.address, units("2.9"))
        shop.money.mine()
    shop.sure()
    assert stands(request).state == State.PAID
    assert ChainCheckpoint.objects.count() > 3


def test_an_address_of_long_ago_is_read_by_the_sweep(
    shop: Shop, bob: Customer, carol: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "SWEPT_BLOCKS", 10)
    old, young = shop.ask(bill_of(bob)), shop.ask(bill_of(carol))
    of_long_ago(old)
    for request in (old, young):
        shop.money.pay(request.address.address, units(9))
    shop.sure()
    assert (stands(old).credited, stands(young).credited) == (0, 9)
    shop.money.mine(10)
    shop.read()
    assert (stands(old).credited, stands(young).credited) == (9, 9)
    shop.ask(bill_of(bob))
    shop.money.pay(old.address.address, units(20))
    shop.sure()
    assert stands(old).state == State.PAID, "asked for again it is watched closely"


def test_former_places_are_kept_as_long_as_a_fork_could_go_and_the_first_for_ever(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "CHECKPOINT_BLOCKS", 4)
    first = shop.fresh().cursor_number
    for _ in range(9):
        shop.money.mine()
        shop.read()
    numbers = list(ChainCheckpoint.objects.values_list("number", flat=True))
    last = shop.fresh().cursor_number
    assert last is not None
    assert numbers == [last, last - 1, last - 2, last - 3, last - 4, first]


def test_what_is_shown_is_written_anew(shop: Shop, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    common = shop.money.head
    shop.money.mine_for_forks()
    shop.money.pay(request.address.address, units(29))
    shop.money.mine()
    shop.read()
    assert stands(request).state == State.SEEN
    shop.money.fork(common)
    shop.money.mine(2)
    shop.read()
    assert not SeenTransfer.objects.exists()
    assert stands(request).state == State.WAITING


def test_a_chain_that_is_off_is_not_read(shop: Shop) -> None:
    Chain.objects.update(is_enabled=False)
    assert shop.tick() == Look.OFF
    Chain.objects.update(is_enabled=True, parked_at=timezone.now())
    assert shop.tick() == Look.OFF


@pytest.mark.django_db(transaction=True)
def test_of_two_watchers_one_works(shop: Shop, front: Front, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    shop.money.mine(shop.chain.confirmations + 1)
    looks: list[Look] = []

    def look() -> None:
        looks.append(watcher.tick(Chain.objects.get(), RpcNode(shop.money.url), timezone.now()))
        connection.close()

    def meanwhile(method: str) -> None:
        front.before = lambda method: None
        other = threading.Thread(target=look)
        other.start()
        other.join()

    front.before = meanwhile
    assert shop.tick() == Look.READ
    assert looks == [Look.BUSY]
    assert stands(request).credited == 29


@pytest.mark.django_db(transaction=True)
def test_a_watcher_whose_connection_was_cut_writes_nothing_twice(shop: Shop, front: Front, bob: Customer) -> None:
    """With it went its lock, and another one was faster."""
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    shop.money.mine(shop.chain.confirmations + 1)
    looks: list[Look] = []

    def faster(method: str) -> None:
        if method == "eth_getLogs":
            front.before = lambda method: None
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE {IN_THIS_DATABASE} AND classid = %s",
                    [watcher.LOCK],
                )
            looks.append(watcher.tick(Chain.objects.get(), RpcNode(shop.money.url), timezone.now()))
            connection.close()

    front.before = faster
    with pytest.raises((OperationalError, InterfaceError)):
        shop.tick()
    assert looks == [Look.READ]
    assert shop.tick() == Look.NOTHING_NEW
    assert stands(request).credited == 29
    assert Invoice.objects.get(pk=request.invoice_id).status == "paid"


@pytest.mark.django_db(transaction=True)
def test_no_node_is_asked_within_a_transaction(shop: Shop, front: Front, bob: Customer) -> None:
    request = shop.ask(bill_of(bob))
    shop.money.pay(request.address.address, units(29))
    common = shop.money.head
    within: list[str] = []

    def look(method: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
            )
            row = cursor.fetchone()
            within.extend([method] * row[0])
        connection.close()

    front.before = look
    shop.money.mine_for_forks(shop.chain.confirmations + 2)
    shop.read()
    shop.money.fork(common)
    shop.money.mine(shop.chain.confirmations + 3)
    assert shop.tick() == Look.REORGANISED
    assert (within, len(front.asked) > 8) == ([], True)
