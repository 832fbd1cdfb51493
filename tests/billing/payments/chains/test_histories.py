"""Law C1 after random histories: forks of any depth, watchers that end at any line, two at once, a chain that moves
while it is read, nodes that fail."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from billing.models import Chain
from billing.payments.chains import reorganisation, watcher
from billing.payments.chains.reading import NodeError
from billing.payments.chains.rpc import RpcNode
from tests.billing.ledger import assert_explained
from tests.billing.payments.chains.crashes import crash
from tests.billing.payments.chains.laws import assert_settled
from tests.cast import Customer
from tests.chains import Shop, bill_of, of_long_ago
from tests.effort import effort
from tests.servers.chain.front import Front

HISTORIES = effort(2, 100)
STEPS = 60
UNITS = (1, 3_999, 4_000, 10_000, 5_000_000, 29_000_000, 49_000_000)
Payment = tuple[str, int]


class History:
    """What happens to a shop, drawn from a seed."""

    def __init__(self, shop: Shop, addresses: list[str], chance: random.Random) -> None:
        self.shop, self.addresses, self.chance = shop, addresses, chance
        self.front = Front(shop.money.url)
        self.common = shop.money.head
        self.above: list[tuple[int, Payment]] = []
        """Payments, each with the head when it was made."""

    def run(self) -> None:
        steps = [self.pay, self.pay, self.fork, self.tick, self.tick, self.crash, self.twice, self.moving]
        for _ in range(STEPS):
            self.chance.choice(steps)()
            self.mine()

    def end(self) -> None:
        self.front.stop()
        self.shop.money.mine(self.shop.chain.confirmations + 2)
        while True:
            self.shop.read()
            if self.shop.fresh().parked_at is None:
                return
            reorganisation.release(self.shop.chain)

    def pay(self) -> None:
        payment = self.chance.choice(self.addresses), self.chance.choice(UNITS)
        self._send(payment)
        if self.chance.random() < 0.2:
            self.shop.money.pay(payment[0], payment[1], self.shop.money.liar)

    def mine(self) -> None:
        self.shop.money.mine_for_forks(self.chance.randint(1, 3))

    def fork(self) -> None:
        """Above what was read, or below. What was in the blocks that are gone comes again, in another order, or not."""
        read = self.shop.chain.cursor_number or 0
        common = self.chance.choice(
            [self.shop.money.head - 1, read + 1, read, read - 1, read - self.chance.randint(2, 9)]
        )
        common = min(max(common, self.common), self.shop.money.head)
        depth = self.shop.money.head - common
        if not depth:
            return
        self.shop.money.fork(common)
        gone = [payment for head, payment in self.above if head >= common]
        self.above = [each for each in self.above if each[0] < common]
        self.chance.shuffle(gone)
        for payment in gone:
            if self.chance.random() < 0.6:
                self._send(payment)
            if self.chance.random() < 0.3:
                self.shop.money.mine_for_forks()
        self.shop.money.mine_for_forks(depth + 1)

    def tick(self) -> None:
        if self.chance.random() < 0.8:
            reorganisation.release(self.shop.fresh())
        self.shop.tick()

    def crash(self) -> None:
        crash(self.chance.randint(1, 300), self.shop.tick)

    def twice(self) -> None:
        def other() -> None:
            try:
                watcher.tick(Chain.objects.get(), RpcNode(self.shop.money.url), timezone.now())
            finally:
                connection.close()

        beside = threading.Thread(target=other)
        beside.start()
        self.shop.tick()
        beside.join()

    def moving(self) -> None:
        """The chain goes on, forks, or the node fails, at some call of a look."""
        left = self.chance.randint(1, 8)
        what = self.chance.choice([self.mine, self.fork, self.pay, self._fail])

        def before(method: str) -> None:
            nonlocal left
            left -= 1
            if not left:
                what()

        self.front.before = before
        try:
            watcher.tick(self.shop.chain, RpcNode(self.front.url), timezone.now())
        except NodeError:
            pass
        finally:
            self.front.before, self.front.drops = lambda method: None, False

    def _fail(self) -> None:
        self.front.drops = True

    def _send(self, payment: Payment) -> None:
        self.shop.money.pay(*payment)
        self.above.append((self.shop.money.head, payment))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("seed", range(HISTORIES))
def test_every_address_is_credited_with_what_it_holds(
    shop: Shop, bob: Customer, carol: Customer, dave: Customer, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher, "SWEPT_BLOCKS", 5)
    chance = random.Random(seed)
    requests = [shop.ask(bill_of(customer)) for customer in (bob, carol, dave)]
    of_long_ago(requests[2])
    history: Any = History(shop, [each.address.address for each in requests], chance)
    history.run()
    history.end()
    assert_settled(shop)
    for request in requests:
        assert_explained(request.invoice.subscription)
