"""A day of staff in the browser: a parked customer is looked at; another is found, noted, started and credited."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from billing.models import AccountNote, CreditNote, Subscription
from tests.cast import Customer, Staff
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def staff(chromium: Chromium, superuser: Staff) -> User:
    return superuser.user


def test_a_day(chromium: Chromium, staff: User, alice: Customer, dave: Customer) -> None:
    now = timezone.now()
    Subscription.objects.filter(account=dave.account).update(parked_at=now, parked_because="it looks wrong")

    def day(tab: Tab) -> list[str]:
        page = tab.page
        tab.open("/admin/")
        faults = tab.faults()
        page.get_by_role("link", name="Parked").first.click()
        page.get_by_role("link", name="dave").first.click()
        page.get_by_role("main").or_(page.locator("#content")).get_by_role("link", name="dave").first.click()
        page.get_by_text("Parked since").wait_for()
        page.get_by_role("link", name="Release").wait_for()

        tab.open("/admin/auth/user/?q=alice")
        page.locator("#result_list").get_by_role("link", name="alice").click()
        page.get_by_text("Requests per minute").wait_for()  # a part that came by itself
        page.get_by_text("alice's key").wait_for()
        faults += tab.faults()
        page.get_by_role("textbox", name="New note").fill("calls in the morning")
        page.get_by_role("button", name="Add the note").click()
        page.get_by_text("calls in the morning").wait_for()

        page.get_by_role("link", name="Start a subscription").click()
        tab.at_heading()
        page.get_by_label("Plan").select_option("pro")
        page.get_by_label("Own price").fill("40")
        page.get_by_role("button", name="See what it bills").click()
        page.get_by_text("40.00").first.wait_for()
        faults += tab.faults()
        page.get_by_role("button", name="Start the subscription").click()
        page.get_by_text("Subscription to Pro started").first.wait_for()

        page.get_by_role("link", name="Credit", exact=True).click()
        page.get_by_label("Amount").fill("5")
        page.get_by_label("Reason").fill("an apology")
        page.get_by_role("button", name="Issue the credit note").click()
        page.get_by_text("an apology").first.wait_for()
        return faults

    assert chromium.browse(staff, day) == []
    assert Subscription.objects.get(account=alice.account).plan.code == "pro"
    assert CreditNote.objects.get(account=alice.account).amount == 5
    assert AccountNote.objects.get(account=alice.account).author == staff
