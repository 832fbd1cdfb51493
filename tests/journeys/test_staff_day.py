"""A day of staff in the browser, from the log-in on.

A parked customer is looked at; another is found, noted, started and credited; a list is taken home.
"""

from __future__ import annotations

import csv

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from billing.models import AccountNote, CreditNote, Invoice, Subscription
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
        tab.open("/admin/")  # leads to the log-in
        page.get_by_label("Login").fill(staff.username)
        page.get_by_label("Password").fill("sue")
        faults = tab.faults()
        page.get_by_role("main").get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Parked").first.wait_for()
        faults += tab.faults()
        page.get_by_role("link", name="Parked").first.click()
        page.get_by_role("link", name="dave").first.click()
        page.get_by_role("main").or_(page.locator("#content")).get_by_role("link", name="dave").first.click()
        page.get_by_text("Parked since").wait_for()
        page.get_by_role("link", name="Release").wait_for()

        page.wait_for_load_state()  # until then nobody listens
        page.keyboard.press("Control+k")
        page.wait_for_function("document.activeElement?.id === 'search-input-command'")  # Escape is heard there alone
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Search customers").click()
        page.get_by_placeholder("Type to search").press_sequentially("alice")
        page.locator("#command-results").get_by_role("link", name="alice").first.click()
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
        faults += tab.faults()

        tab.open("/admin/billing/invoice/")
        with page.expect_download() as begun:
            page.get_by_role("link", name="Download as CSV").click()
        exported.append(begun.value.path().read_text())
        return faults + tab.faults()

    exported: list[str] = []
    assert chromium.browse(None, day) == []
    [titles, *rows] = csv.reader(exported[0].splitlines())
    assert len(rows) == Invoice.objects.count() and titles[3] == "total"
    assert Subscription.objects.get(account=alice.account).plan.code == "pro"
    assert CreditNote.objects.get(account=alice.account).amount == 5
    assert AccountNote.objects.get(account=alice.account).author == staff
