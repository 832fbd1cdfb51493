"""An operator who takes stablecoins on the test chain: its node, its rows, and customers who pay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from eth_account.hdaccount import seed_from_mnemonic

from billing.models import Chain, Invoice, PaymentRequest, Token
from billing.payments.chains import watcher
from billing.payments.chains.requests import Standing, request_payment, standing
from billing.payments.chains.rpc import RpcNode
from billing.payments.chains.watcher import Look
from billing_site.local.engines.process import wait_until
from tests.cast import Customer
from tests.factories import LONG_AGO
from tests.ports import free_port
from tests.servers.chain.front import Front
from tests.servers.chain.money import TestChain
from tests.servers.chain.node import CHAIN_ID, MNEMONIC, XPUB, Anvil, NoAnvil, executable

SEED = seed_from_mnemonic(MNEMONIC, "")
WALLET = "m/44'/60'/1'"
"""The operator's account: not the one whose coins the payers spend."""
CONFIRMATIONS = 3


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    try:
        executable()
    except NoAnvil as missing:
        pytest.skip(str(missing))
    node = Anvil(free_port())
    yield node
    node.stop()


@pytest.fixture(scope="session")
def deployed(anvil: Anvil) -> TestChain:
    return TestChain(anvil.url)


@dataclass
class Shop:
    """Sells for test dollars. `chain` and `usdc` are its rows."""

    money: TestChain
    node: Any
    chain: Chain
    usdc: Token

    def tick(self, now: datetime | None = None) -> Look:
        return watcher.tick(self.chain, self.node, now or timezone.now())

    def read(self) -> None:
        """All that counts by now. The lock of a watcher that was killed may be free a moment later only."""
        look = Look.BUSY

        def is_let_in() -> bool:
            nonlocal look
            look = self.tick()
            return look is not Look.BUSY

        while look in (Look.BUSY, Look.READ, Look.MOVED):
            wait_until(is_let_in, 60, "somebody goes on reading the chain")

    def sure(self) -> None:
        """Mine until all that was paid counts, and read it."""
        self.money.mine(self.chain.confirmations + 1)
        self.read()

    def ask(self, invoice: Invoice) -> PaymentRequest:
        return request_payment(invoice, self.usdc, timezone.now())

    def address(self, invoice: Invoice) -> str:
        return self.ask(invoice).address.address

    def fresh(self) -> Chain:
        self.chain.refresh_from_db()
        return self.chain


@pytest.fixture
def shop(deployed: TestChain, catalogue: None, settings: Any) -> Shop:
    """With a head that has been read: what comes from now on is seen."""
    deployed.start_anew()
    settings.CHAIN_XPUBS = {str(CHAIN_ID): XPUB}
    settings.CHAIN_RPC_URLS = {str(CHAIN_ID): deployed.url}
    chain = Chain.objects.create(
        chain_id=CHAIN_ID, name="Test chain", genesis_hash=deployed.genesis_hash, confirmations=CONFIRMATIONS
    )
    usdc = Token.objects.create(
        code="usdc", chain=chain, symbol="USDC", contract=deployed.dollar.address, decimals=6, currency="USD"
    )
    made = Shop(deployed, RpcNode(deployed.url), chain, usdc)
    made.tick()
    return made


def bill_of(customer: Customer) -> Invoice:
    """The one that the customer has to pay."""
    return Invoice.objects.get(account=customer.user, status=Invoice.Status.OPEN)


def of_long_ago(request: PaymentRequest) -> None:
    """Nobody has looked at its page for longer than its address is watched closely."""
    PaymentRequest.objects.filter(pk=request.pk).update(shown_until=LONG_AGO)


def stands(request: PaymentRequest) -> Standing:
    """As the page would show it now."""
    return standing(PaymentRequest.objects.select_related("address", "token__chain", "invoice").get(pk=request.pk))


def units(dollars: Any) -> int:
    return int(Decimal(str(dollars)) * 10**6)


@pytest.fixture
def front(shop: Shop) -> Iterator[Front]:
    before = Front(shop.money.url)
    shop.node = RpcNode(before.url)
    yield before
    before.stop()
