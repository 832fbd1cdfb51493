"""A customer pays an invoice in a stablecoin, by a wallet that reads the page's QR code, and watches it arrive."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.db import connection
from django.utils import timezone
from PIL import Image

from billing.models import ChainTransfer, Invoice, PaymentRequest
from billing.payments.chains import refunds
from tests.cast import Customer, Staff
from tests.chains import Shop, anvil, bill_of, deployed, shop, units
from tests.journeys.chromium import NARROW, WIDE, Chromium, Tab, chromium, playwright_browser

__all__ = ["anvil", "chromium", "deployed", "playwright_browser", "shop"]
pytestmark = pytest.mark.django_db(transaction=True)
PICTURES = os.environ.get("PICTURES")
"""A folder for pictures of the page, wide and narrow, light and dark; none are taken where it is unset."""


def read_code(picture: bytes) -> str:
    """As a wallet's camera does."""
    import zxingcpp

    (found,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
    return str(found.text)


def take_pictures(tab: Tab, name: str) -> None:
    if PICTURES:
        for scheme in ("light", "dark"):
            for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
                tab.page.emulate_media(color_scheme=scheme)
                tab.page.set_viewport_size(size)
                tab.page.screenshot(path=f"{PICTURES}/{name}-{scheme}-{width}.png", full_page=True)
        tab.page.emulate_media(color_scheme="light")
        tab.page.set_viewport_size(WIDE)


def test_an_invoice_is_paid_in_the_token(chromium: Chromium, shop: Shop, bob: Customer) -> None:
    invoice = bill_of(bob)

    def work(tab: Tab) -> Any:
        page = tab.page
        tab.open(f"/dashboard/billing/invoices/{invoice.number}/")
        page.get_by_role("button", name="Pay in USDC on Test chain").click()
        page.get_by_role("heading", name=f"Pay {invoice.number} in USDC").wait_for()
        link = read_code(page.locator(".qr").screenshot())
        assert link == page.locator("#uri").get_attribute("href")
        contract, chain, to, units = wallet(link)
        assert (contract, chain, units) == (page.locator("#contract").inner_text(), "31337", "29000000")
        assert to == page.locator("#address").inner_text()
        page.get_by_role("button", name="Copy the address").click()
        page.get_by_role("button", name="Copied").wait_for()
        faults = tab.faults()
        take_pictures(tab, "waiting")
        shop.money.pay(to, int(units))
        shop.money.mine(2)
        yield_to_watcher()
        page.get_by_text("$29.00 was seen: 1 of 3 confirmations.").wait_for()
        take_pictures(tab, "seen")
        assert page.locator(".qr").count() == 0, "nothing is asked for twice"
        shop.money.mine(2)
        yield_to_watcher()
        page.get_by_text("Paid. Thank you!").wait_for()
        faults += tab.faults()
        take_pictures(tab, "paid")
        return faults

    def yield_to_watcher() -> None:
        watched.submit(shop.read).result()

    with ThreadPoolExecutor(1) as watched:
        assert chromium.browse(bob.user, work) == []
        watched.submit(_close).result()
    assert Invoice.objects.get(pk=invoice.pk).status == "paid"


def test_the_pages_around_it_are_for_every_screen(
    chromium: Chromium, shop: Shop, bob: Customer, superuser: Staff
) -> None:
    shop.money.pay(shop.address(bill_of(bob)), units(40))
    shop.money.pay(shop.address(bill_of(bob)), units(1), shop.money.liar)
    shop.sure()
    to, now = shop.money.accounts[7], timezone.now()
    asked = refunds.request_refund(bob.account, shop.usdc, Decimal(5), to, bob.user, now)
    refunds.approve(asked, superuser.user, now)
    rows = (shop.chain, shop.usdc, asked, PaymentRequest.objects.get(), *ChainTransfer.objects.all())
    staff = [f"/admin/billing/{row._meta.model_name}/{row.pk}/change/" for row in rows]
    staff += [f"/admin/billing/{name}/" for name in ("chain", "token", "cryptorefund", "chaintransfer", "depositkey")]
    staff.append(f"/admin/billing/cryptorefund/{asked.pk}/sent/")

    def faults(paths: list[str]) -> Callable[[Tab], list[str]]:
        def look(tab: Tab) -> list[str]:
            found = []
            for path in paths:
                tab.open(path)
                found += [f"{path}: {fault}" for fault in tab.faults()]
            return found

        return look

    assert chromium.browse(bob.user, faults(["/dashboard/billing/", "/dashboard/billing/pay-out/usdc/"])) == []
    assert chromium.browse(superuser.user, faults(staff)) == []


def wallet(link: str) -> tuple[str, str, str, str]:
    """Contract, chain, address and units of an EIP-681 link."""
    found = re.fullmatch(r"ethereum:(\w+)@(\d+)/transfer\?(.+)", link)
    assert found is not None
    asked = parse_qs(found.group(3))
    return found.group(1), found.group(2), asked["address"][0], asked["uint256"][0]


def _close() -> None:
    connection.close()
