"""A customer saves a card in a real browser: on to the provider's page, its bank's confirmation, and back."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.models import PaymentMethod, ProviderCustomer
from tests.cast import Customer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.journeys.test_accessibility import violations
from tests.servers.card.running import CONFIRMED_ONCE, CardServer

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_card_is_saved_on_the_providers_page(chromium: Chromium, bob: Customer, card_server: CardServer) -> None:
    def work(tab: Tab) -> list[str]:
        tab.open("/dashboard/payment-methods/")
        found = tab.faults()
        tab.page.get_by_role("button", name="Add a card").click()
        tab.page.get_by_label("Card number").fill(CONFIRMED_ONCE)
        tab.page.get_by_role("button", name="Save card").click()
        tab.page.get_by_role("button", name="Complete authentication").click()
        tab.page.get_by_text("The card is saved.").wait_for()
        found += tab.faults()
        tab.page.get_by_role("button", name="Remove").click()
        tab.page.get_by_role("heading", name="Remove").wait_for()
        return found + tab.faults()

    assert chromium.browse(bob.user, work) == []
    assert PaymentMethod.objects.get().last4 == "3155"


def test_pages_with_cards_are_for_everybody(chromium: Chromium, bob: Customer, card_server: CardServer) -> None:
    now, month = timezone.now(), {"exp_month": 12, "exp_year": 2020}
    ProviderCustomer.objects.create(
        account=bob.user, provider="stripe", reference="cus_1", is_live=False, created_at=now
    )
    card = PaymentMethod.objects.create(
        account=bob.user,
        provider="stripe",
        reference="pm_1",
        is_live=False,
        brand="visa",
        last4="4242",
        created_at=now,
        **month,
    )
    paths = ["/dashboard/payment-methods/", f"/dashboard/payment-methods/{card.pk}/remove/"]
    assert chromium.browse(bob.user, lambda tab: violations(tab, paths)) == ""
