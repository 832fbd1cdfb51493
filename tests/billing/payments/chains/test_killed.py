"""A watcher that is killed at a line leaves what the next one completes, to the same end."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from django.utils import timezone

from billing.models import Chain
from billing.payments.chains import reorganisation, watcher
from billing.payments.chains.rpc import RpcNode
from tests.billing.payments.chains.crashes import kill
from tests.billing.payments.chains.laws import assert_settled
from tests.cast import Customer
from tests.chains import Shop, bill_of, units
from tests.effort import LONG

STEP = 1 if LONG else 19
"""Every so manieth line."""


@pytest.fixture(autouse=True)
def sweeps_with_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "SWEPT_BLOCKS", 2)


def look(url: str) -> None:
    watcher.tick(Chain.objects.get(), RpcNode(url), timezone.now())


@pytest.mark.django_db(transaction=True)
def test_killed_at_every_line_of_a_look(shop: Shop, bob: Customer) -> None:
    address = shop.address(bill_of(bob))
    for line in itertools.count(1, STEP):
        shop.money.pay(address, units("3.01"))
        shop.money.mine(shop.chain.confirmations + 1)
        was_killed = kill(line, lambda: look(shop.money.url))
        shop.read()
        assert_settled(shop)
        if not was_killed:
            break
    assert line > 100, "a look has more lines"


@pytest.mark.django_db(transaction=True)
def test_killed_at_every_line_of_a_step_back(shop: Shop, customer: Callable[..., Customer]) -> None:
    """Each time to another address: what came to one before would make the way of the next longer than the step."""
    for line in itertools.count(1, STEP):
        address = shop.address(bill_of(customer(f"payer-{line}", "starter")))
        common = shop.money.head
        shop.money.mine_for_forks()
        shop.money.pay(address, units("3.01"))
        shop.money.mine_for_forks(shop.chain.confirmations + 2)
        shop.read()
        shop.money.fork(common)
        shop.money.pay(address, units(1))
        shop.money.mine(shop.chain.confirmations + 4)
        was_killed = kill(line, lambda: look(shop.money.url))
        shop.read()
        assert shop.fresh().parked_at is not None
        reorganisation.release(shop.fresh())
        shop.read()
        assert_settled(shop)
        if not was_killed:
            break
    assert line > 100, "a step back has more lines"
