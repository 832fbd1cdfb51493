"""A customer in the browser: from the sign-up to a member who helps, and all of it in German as well."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
import requests
from django.contrib.auth.models import User
from django.core import mail

from billing.models import Invoice, Member, Subscription
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
TINA, TOM = "tina@customers.example", "tom@customers.example"
HEADERS = (("RateLimit-Policy", "q"), ("RateLimit", "r"))
FIGURE = "#quota-title + .figure"


def sign_up(tab: Tab, address: str, after: str = "") -> None:
    if not after:
        tab.open("/")
        tab.page.get_by_role("button", name="Sign up").click()
    else:
        tab.open(after)
        tab.page.get_by_role("main").get_by_role("link", name="Sign up").click()
    tab.page.get_by_label("Email").fill(address)
    tab.page.get_by_label("Password").fill("quite a long one")
    tab.page.get_by_role("main").get_by_role("button", name="Sign Up").click()


def first_hour(tab: Tab) -> tuple[str, list[str]]:
    """From the sign-up to a paid plan; gives the amount that was shown."""
    page = tab.page
    sign_up(tab, TINA)
    page.locator(FIGURE, has_text="0 of 100").wait_for()
    faults = tab.faults()
    page.get_by_role("link", name="Keys", exact=True).click()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Make the key").click()
    call = page.locator("#call").inner_text()
    key = page.locator("#key").inner_text()
    faults += tab.faults()
    page.get_by_role("link", name="Overview", exact=True).click()
    page.locator(FIGURE, has_text="0 of 100").wait_for()
    spent = used(key, re.search(r"http\S+", call)[0])  # type: ignore[index]
    page.locator(FIGURE, has_text=f"{spent} of 100").wait_for()  # by itself
    faults += tab.faults()

    page.get_by_role("link", name="Plans", exact=True).click()
    page.get_by_role("button", name="Change to Starter").click()
    shown = page.get_by_role("row", name="To pay").get_by_role("cell").inner_text()
    faults += tab.faults()
    page.get_by_role("button", name=f"Change now for {shown}").click()
    page.get_by_role("heading", name="You are on Starter").wait_for()
    used(key, f"{tab.url}/api/v1/graph/nodes")  # which community does not include
    return str(shown), faults + tab.faults()


def used(key: str, url: str) -> int:
    """Tokens of the window's 100 or 500, after a call that is answered."""
    answer = requests.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert answer.status_code == 200, answer.text
    quota, left = (re.search(rf'"quota";{name}=(\d+)', answer.headers[header]) for header, name in HEADERS)
    return int(quota[1]) - int(left[1])  # type: ignore[index]


def second_thoughts(tab: Tab) -> list[str]:
    """A downgrade that something blocks, a cancellation and back, and an invitation."""
    page = tab.page
    tab.open("/dashboard/plans/")
    page.get_by_role("button", name="Community from the next period on").click()
    page.get_by_role("status").get_by_text("last called on").wait_for()
    assert "Investigator" in page.get_by_role("status").inner_text()
    assert not page.get_by_role("button", name="Schedule the change").is_visible()
    faults = tab.faults()
    page.get_by_role("link", name="Back to the plans").click()
    page.get_by_role("link", name="Cancel the subscription").click()
    page.get_by_role("button", name="Cancel at the end of the period").click()
    page.get_by_text("It ends on").wait_for()
    faults += tab.faults()
    page.get_by_role("button", name="Keep Starter").click()
    page.get_by_text("It is renewed on").wait_for()

    page.get_by_role("link", name="Members", exact=True).click()
    page.get_by_label("E-mail address").fill(TOM)
    page.get_by_role("form").or_(page.locator("form.narrow")).get_by_label("Role").select_option("viewer")
    faults += tab.faults()
    page.get_by_role("button", name="Send the invitation").click()
    page.get_by_text(f"A mail to {TOM} is on its way.").wait_for()
    page.get_by_role("row", name=TOM).get_by_text("invited").wait_for()
    return faults + tab.faults()


def joining(tab: Tab, link: str) -> list[str]:
    """Somebody who has no account yet follows the link, looks, and may change nothing; then in German."""
    page = tab.page
    sign_up(tab, TOM, after=link)
    page.get_by_role("heading", name="Join an account").wait_for()
    page.get_by_text(f"Confirm first that {TOM} is yours").wait_for()
    faults = tab.faults()
    confirmation = re.search(r"/accounts/confirm-email/\S+", str(mail.outbox[-1].body))
    tab.open(confirmation[0])  # type: ignore[index]
    page.get_by_role("main").get_by_role("button", name="Confirm").click()
    page.get_by_text(f"You have confirmed {TOM}").wait_for()
    tab.open(link)
    page.get_by_role("button", name="Join").click()
    page.get_by_text("You act for").first.wait_for()
    page.locator(FIGURE, has_text="of 500").wait_for()
    page.get_by_role("link", name="Plans", exact=True).click()
    page.get_by_role("heading", name="You are on Starter").wait_for()
    assert page.get_by_role("button", name="Change to Pro").count() == 0

    page.get_by_role("button", name="Deutsch").click()
    page.get_by_role("heading", name="Sie haben den Tarif Starter").wait_for()
    assert page.get_attribute("html", "lang") == "de"
    for name in ("Übersicht", "Abrechnung", "Mitglieder", "Einstellungen"):
        page.get_by_role("link", name=name, exact=True).click()
        page.get_by_role("heading", name=name, level=1).wait_for()
        faults += tab.faults()
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Settings", level=1).wait_for()
    return faults


def test_from_the_sign_up_to_a_member(chromium: Chromium) -> None:
    shown, faults = chromium.browse(None, first_hour)
    assert faults == []
    tina = User.objects.get(email=TINA)
    invoice = Invoice.objects.get(account=tina)
    assert Decimal(shown.strip("$")) == invoice.total > 0

    assert chromium.browse(tina, second_thoughts) == []
    kept = Subscription.objects.get(account=tina)
    assert (kept.plan.code, kept.cancel_at, kept.scheduled_plan) == ("starter", None, None)

    [invitation] = [message for message in mail.outbox if "invites you" in message.subject]
    assert invitation.to == [TOM]
    link = re.search(r"/dashboard/members/join/\S+", str(invitation.body))[0]  # type: ignore[index]
    assert chromium.browse(None, lambda tab: joining(tab, link)) == []
    member = Member.objects.get(account=tina)
    assert (member.user.email, member.role) == (TOM, "viewer")
