"""Staff and stablecoins: chains, tokens, transfers, and pay-outs that they approve and send."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from billing.models import Chain, CryptoRefund, Token
from billing.payments.chains import refunds
from tests.cast import Customer, Staff
from tests.chains import Shop, anvil, bill_of, deployed, shop, units

__all__ = ["anvil", "deployed", "shop"]


@pytest.fixture
def asked(shop: Shop, bob: Customer) -> CryptoRefund:
    """Bob has paid 40 for 29, and wants the rest back."""
    shop.money.pay(shop.address(bill_of(bob)), units(40))
    shop.sure()
    to = shop.money.accounts[7]
    return refunds.request_refund(bob.account, shop.usdc, Decimal(11), to, bob.user, timezone.now())


def text(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return str(answer.text)


def press(staff: Staff, page: str, **fields: Any) -> str:
    return text(staff.client.post(f"/admin/billing/{page}", fields, follow=True))


def test_a_chain_and_a_token_are_added(superuser: Staff, catalogue: None) -> None:
    about = {"name": "Base", "chain_id": 8453, "confirmations": 20, "is_enabled": "on"}
    wrong = press(superuser, "chain/add/", **about, genesis_hash="0x12")
    assert "A hash begins with 0x" in wrong
    press(superuser, "chain/add/", **about, genesis_hash="0x" + "AB" * 32)
    chain = Chain.objects.get()
    assert (chain.genesis_hash, chain.cursor_number) == ("0x" + "ab" * 32, None)
    token = {"code": "usdc", "symbol": "USDC", "chain": chain.pk, "decimals": 6, "currency": "USD", "tolerance": 0}
    lower = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"
    assert "has a mistake" in press(superuser, "token/add/", **token, contract=lower.replace("fcd6", "FCd6"))
    press(superuser, "token/add/", **token, contract=lower, is_enabled="on")
    assert Token.objects.get().contract == "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"


def test_every_list_and_page_opens(superuser: Staff, shop: Shop, asked: CryptoRefund) -> None:
    for model in ("chain", "token", "depositkey", "paymentrequest", "chaintransfer", "cryptorefund"):
        listed = text(superuser.open(f"billing/{model}/"))
        assert "0 results" not in listed, model
    pages = {
        f"chain/{shop.chain.pk}/": "an extended public key, a node",
        f"token/{shop.usdc.pk}/": shop.usdc.contract,
        f"depositkey/{asked.token.payment_requests.get().address.key_id}/": shop.money.accounts[0][:2],
        f"paymentrequest/{asked.token.payment_requests.get().pk}/": "over",
        f"cryptorefund/{asked.pk}/": asked.to_address,
    }
    for page, said in pages.items():
        assert said in text(superuser.open(f"billing/{page}change/")), page


def test_foreign_transfers_are_found(superuser: Staff, shop: Shop, bob: Customer) -> None:
    shop.money.pay(shop.address(bill_of(bob)), units(29), shop.money.liar)
    shop.sure()
    assert shop.money.liar.address in text(superuser.open("billing/chaintransfer/?state__exact=foreign"))


def test_a_parked_chain_is_released_after_a_question(superuser: Staff, shop: Shop) -> None:
    Chain.objects.update(parked_at=timezone.now(), parked_because="Reorganised after block 7: 9 had been read.")
    page = f"chain/{shop.chain.pk}/release/"
    assert "Look at the transfers that were reversed" in text(superuser.open(f"billing/{page}"))
    assert Chain.objects.get().parked_at is not None
    press(superuser, page)
    assert Chain.objects.get().parked_at is None
    assert "Reorganised after block 7" in LogEntry.objects.latest("pk").change_message


def test_a_pay_out_is_approved_sent_and_confirmed(superuser: Staff, shop: Shop, asked: CryptoRefund) -> None:
    page = f"cryptorefund/{asked.pk}/"
    assert asked.to_address in text(superuser.open(f"billing/{page}approve/"))
    approved = press(superuser, f"{page}approve/")
    assert "uint256=11000000" in approved
    asked.refresh_from_db()
    assert (asked.state, asked.decided_by) == ("approved", superuser.user)
    assert "no hash" in press(superuser, f"{page}sent/", tx_hash="0x12")
    tx = shop.money.pay(asked.to_address, units(11))
    press(superuser, f"{page}sent/", tx_hash=tx)
    shop.sure()
    assert "Confirmed" in text(superuser.open(f"billing/{page}change/"))
    assert "is confirmed" in press(superuser, f"{page}decline/")


def test_the_sidebar_says_what_waits_for_staff(superuser: Staff, shop: Shop, asked: CryptoRefund) -> None:
    shown = text(superuser.open(""))
    assert "1 to do" in shown and "in trouble" not in shown
    Chain.objects.update(parked_at=timezone.now())
    assert "1 in trouble" in text(superuser.open(""))


def test_whoever_may_only_look_sends_nothing(clerk: Staff, asked: CryptoRefund) -> None:
    clerk.may("billing.view_cryptorefund")
    assert clerk.open(f"billing/cryptorefund/{asked.pk}/change/").status_code == 200
    for action in ("approve", "decline", "sent"):
        assert clerk.send(f"billing/cryptorefund/{asked.pk}/{action}/").status_code == 403
    asked.refresh_from_db()
    assert asked.state == "requested"
