"""An invoice is paid by card in a browser, on the provider's own page: at once, and with a confirmation of the bank."""

from __future__ import annotations

import pytest

from tests.billing.payments.cards.buyer import Buyer, buyer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.servers.card.running import CONFIRMED_ALWAYS, VISA

__all__ = ["buyer", "chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
PAY = "/dashboard/billing/invoices/INV-000001/pay/"


def pay_there(tab: Tab, number: str) -> None:
    tab.page.get_by_label("Card number").fill(number)
    tab.page.get_by_role("button", name="Pay").click()


def thanks(tab: Tab) -> str:
    tab.page.get_by_role("heading", name="Invoice INV-000001").wait_for()
    return str(tab.page.get_by_role("status").first.inner_text())


def test_from_the_invoice_to_the_providers_page_and_back(chromium: Chromium, buyer: Buyer) -> None:
    def work(tab: Tab) -> tuple[str, list[str]]:
        tab.open("/dashboard/billing/invoices/INV-000001/")
        tab.page.get_by_role("button", name="Pay now").click()
        faults = tab.faults()
        tab.page.get_by_role("button", name="Pay with a card").click()
        pay_there(tab, VISA)
        return thanks(tab), faults + tab.faults()

    said, faults = chromium.browse(buyer.customer.user, work)
    assert "Thank you. The invoice is paid." in said and faults == []
    assert buyer.is_paid and buyer.balance == 0


def test_by_the_link_of_the_mail_with_the_banks_confirmation(chromium: Chromium, buyer: Buyer) -> None:
    buyer.card(CONFIRMED_ALWAYS)
    assert buyer.issued().state == "needs_action"

    def work(tab: Tab) -> tuple[str, list[str]]:
        tab.open(PAY)
        faults = tab.faults()
        tab.page.get_by_role("button", name="Confirm on the payment page").click()
        pay_there(tab, CONFIRMED_ALWAYS)
        tab.page.get_by_role("button", name="Complete authentication").click()
        return thanks(tab), faults

    said, faults = chromium.browse(buyer.customer.user, work)
    assert "Thank you. The invoice is paid." in said and faults == []
    assert buyer.is_paid and buyer.charged == 1


def test_a_double_click_charges_a_saved_card_once(chromium: Chromium, buyer: Buyer) -> None:
    card = buyer.card()

    def work(tab: Tab) -> str:
        tab.open(PAY)
        tab.page.get_by_role("button", name=f"Pay with {card}").dblclick()
        tab.page.get_by_role("heading", name="Invoice INV-000001").wait_for()
        return str(tab.page.url)

    chromium.browse(buyer.customer.user, work)
    assert buyer.is_paid and buyer.charged == 1
