"""The demo's chain: started, kept, with a token on it, and paid on by one line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Chain, Token
from billing.payments.chains import watcher
from billing.payments.chains.requests import State, instructions, request_payment
from billing.payments.chains.rpc import RpcNode
from billing_site.local import chain_demo
from billing_site.local.chain_demo import DemoChain
from billing_site.local.run_alone import Refused
from billing_site.local.supervisor import Supervisor
from tests.cast import Customer
from tests.chains import bill_of, stands
from tests.servers.chain.node import CHAIN_ID, NoAnvil, executable


@pytest.fixture
def no_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a demo says in the environment is taken back."""
    for name in chain_demo.SETTINGS:
        monkeypatch.setenv(name, "")


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    keeps = Supervisor(lambda text: None)
    yield keeps
    keeps.stop()


def started(local: Path, supervisor: Supervisor) -> DemoChain:
    try:
        executable()
    except NoAnvil as missing:
        pytest.skip(str(missing))
    demo = DemoChain(local, lambda text: None)
    demo.start(supervisor, local, [])
    return demo


def as_configured(settings: Any) -> None:
    """What a process that starts now would read."""
    settings.CHAIN_XPUBS = dict([os.environ["CHAIN_XPUBS"].split("=", 1)])


def test_an_invoice_is_paid_on_it_by_one_line(
    no_chain: None, tmp_path: Path, supervisor: Supervisor, bob: Customer, settings: Any
) -> None:
    demo = started(tmp_path, supervisor)
    demo.prepare()
    as_configured(settings)
    token, chain = Token.objects.get(code="usdc"), Chain.objects.get(chain_id=CHAIN_ID)
    node = RpcNode(demo.url)
    watcher.tick(chain, node, timezone.now())
    request = request_payment(bill_of(bob), token, timezone.now())
    link = instructions(request, request.invoice.due).uri
    for elsewhere in (link.replace(f"@{CHAIN_ID}", "@1"), link.replace(token.contract, f"0x{'0' * 36}dEaD")):
        with pytest.raises(SystemExit, match="nothing was sent"):
            chain_demo.pay(elsewhere, tmp_path)
    said = chain_demo.pay(link, tmp_path)
    assert said.startswith("sent 29.00 USDC")
    while stands(request).state != State.PAID:
        node._web3.provider.make_request("evm_mine", [])  # type: ignore[arg-type]
        watcher.tick(chain, node, timezone.now())


def test_it_is_the_same_chain_after_a_restart(
    no_chain: None, tmp_path: Path, supervisor: Supervisor, catalogue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = started(tmp_path, supervisor)
    first.prepare()
    genesis, contract = Chain.objects.get().genesis_hash, Token.objects.get().contract
    supervisor.stop()
    for name in chain_demo.SETTINGS:
        monkeypatch.setenv(name, "")
    again = started(tmp_path, supervisor)
    again.prepare()
    assert (Chain.objects.get().genesis_hash, Token.objects.get().contract) == (genesis, contract)
    watcher.verify(Chain.objects.get(), RpcNode(again.url))


def test_it_stands_in_for_no_real_chain(
    tmp_path: Path, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAIN_XPUBS", "1=xpub")
    with pytest.raises(Refused, match="unset CHAIN_XPUBS"):
        DemoChain(tmp_path, lambda text: None).start(supervisor, tmp_path, [])


@pytest.mark.parametrize("link", ["", "ethereum:0x12", "https://example.com"])
def test_what_is_no_link_is_refused(tmp_path: Path, link: str) -> None:
    with pytest.raises(SystemExit) as refused:
        chain_demo.pay(link, tmp_path)
    assert "ethereum:0x" in str(refused.value)
