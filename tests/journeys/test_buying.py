"""Buying in a browser: three clicks to another plan, and two at once are one."""

from __future__ import annotations

import pytest

from billing.models import Invoice, TokenPack, TokenPackPurchase
from tests.cast import Customer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_plan_is_changed_with_three_clicks(chromium: Chromium, bob: Customer) -> None:
    def work(tab: Tab) -> str:
        tab.open("/dashboard/")
        for name, role in (("Plans", "link"), ("Change to Pro", "button"), ("Change now for $20.00", "button")):
            tab.page.get_by_role(role, name=name, exact=True).click()
        tab.page.get_by_role("heading", name="You are on Pro").wait_for()
        return str(tab.page.get_by_role("status").inner_text())

    assert "You are on Pro now. Your invoice is INV-000002." in chromium.browse(bob.user, work)
    assert Invoice.objects.filter(account=bob.account).count() == 2


def test_a_double_click_buys_once(chromium: Chromium, bob: Customer) -> None:
    TokenPack.objects.create(code="small", name="Small", tokens=1000, price=5, counts_at_once=True)

    def work(tab: Tab) -> list[str]:
        tab.open("/dashboard/plans/packs/small/")
        tab.page.get_by_role("button", name="Buy").dblclick()
        tab.page.get_by_role("heading", name="Plans", exact=True).wait_for()
        return tab.faults()

    assert chromium.browse(bob.user, work) == []
    assert TokenPackPurchase.objects.filter(account=bob.account).count() == 1


def test_a_button_is_off_while_its_form_is_on_its_way(chromium: Chromium, bob: Customer) -> None:
    def work(tab: Tab) -> bool:
        tab.open("/dashboard/plans/cancel/")
        tab.page.route("**/plans/cancel/", lambda route: route.fulfill(status=204))  # which leaves the page as it is
        tab.page.get_by_role("button", name="Cancel at the end of the period").click()
        tab.page.wait_for_selector("main button[disabled][aria-busy=true]")
        return bool(tab.page.locator("main button").is_disabled())

    assert chromium.browse(bob.user, work)
