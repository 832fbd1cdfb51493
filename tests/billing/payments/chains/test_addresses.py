"""Addresses: the wallet's own, each given out once, made without any private key."""

from __future__ import annotations

from typing import Any

import pytest
from bip32 import BIP32
from django.core.checks import run_checks
from django.utils import timezone
from eth_account import Account

from billing.models import Chain, DepositAddress, Invoice
from billing.payments.chains.addresses import NotAPublicKey, address_at, check_xpub, give_out
from billing.payments.chains.uri import qr_svg, transfer_uri
from billing_site.operations.checks.start import ENFORCEMENT
from tests.cast import Customer
from tests.chains import SEED, WALLET, Shop, bill_of
from tests.servers.chain.node import MNEMONIC, XPUB

PRIVATE = BIP32.from_seed(SEED).get_xpriv_from_path(WALLET)


@pytest.mark.parametrize("index", [0, 1, 2, 19, 1000, 2**31 - 1])
def test_address_of_an_index_equals_the_wallets(index: int) -> None:
    Account.enable_unaudited_hdwallet_features()
    wallet = Account.from_mnemonic(MNEMONIC, account_path=f"{WALLET}/0/{index}")
    assert address_at(XPUB, index) == wallet.address


def test_the_public_key_is_that_of_the_wallets_account() -> None:
    assert BIP32.from_seed(SEED).get_xpub_from_path(WALLET) == XPUB


def test_the_key_of_the_receiving_branch_gives_the_same_addresses() -> None:
    branch = BIP32.from_seed(SEED).get_xpub_from_path(f"{WALLET}/0")
    assert address_at(branch, 7) == address_at(XPUB, 7)


@pytest.mark.parametrize(
    "text",
    [
        PRIVATE,
        "",
        "xpub",
        XPUB[:-1] + ("A" if XPUB[-1] != "A" else "B"),
        BIP32.from_seed(SEED).get_xpub_from_path("m/44'"),
        "0x" + "11" * 32,
    ],
)
def test_what_is_no_public_key_of_an_account_is_refused_and_not_repeated(text: str, settings: Any) -> None:
    with pytest.raises(NotAPublicKey) as refused:
        check_xpub(text)
    assert not text or len(text) < 10 or text not in str(refused.value)
    settings.CHAIN_XPUBS = {"1": text}
    found = [message for message in run_checks(tags=[ENFORCEMENT]) if message.id == "billing_site.E026"]
    assert len(found) == 1
    assert not text or len(text) < 10 or text not in f"{found[0].msg} {found[0].hint}"


def test_one_key_for_two_chains_is_refused(settings: Any) -> None:
    settings.CHAIN_XPUBS = {"1": XPUB, "10": XPUB}
    assert "billing_site.E027" in {message.id for message in run_checks(tags=[ENFORCEMENT])}


def test_every_request_has_an_address_of_its_own(shop: Shop, bob: Customer, carol: Customer) -> None:
    one, other = shop.ask(bill_of(bob)), shop.ask(bill_of(carol))
    assert one.address.address != other.address.address
    assert [each.index for each in DepositAddress.objects.order_by("pk")] == [0, 1]
    assert shop.ask(bill_of(bob)).pk == one.pk


def test_a_key_that_serves_another_chain_gives_no_address(shop: Shop, bob: Customer, settings: Any) -> None:
    shop.ask(bill_of(bob))
    other = Chain.objects.create(chain_id=10, name="Other", genesis_hash="0x" + "1" * 64)
    settings.CHAIN_XPUBS = {"10": XPUB}
    with pytest.raises(NotAPublicKey, match="another chain"):
        give_out(other, Invoice.objects.first(), timezone.now())  # type: ignore[arg-type]


def test_the_link_names_token_chain_address_and_amount() -> None:
    link = transfer_uri(1, "0xC0", "0xA0", 29_000_000)
    assert link == "ethereum:0xC0@1/transfer?address=0xA0&uint256=29000000"
    picture = qr_svg(link)
    assert picture.startswith("<svg") and "script" not in picture and "style" not in picture
