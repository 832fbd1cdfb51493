"""Pages in a real browser, wide and on a phone: nothing is refused, fails or is out of reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import RequestFactory
from django.urls import reverse
from django.utils import timezone

from billing.models import (
    ApiKey,
    BulkMove,
    Feature,
    Invoice,
    LimitOverride,
    OutboxCursor,
    Plan,
    Subscription,
    WindowOverage,
)
from billing.subscriptions.bulk import moves, work
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import pay_in_full, schedule
from tests.billing.metered import make_metered, use
from tests.cast import Customer, Staff
from tests.effort import LONG
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from usage import roles

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
STRANGERS = (
    "/",
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/password/reset/",
    "/admin/login/",
    "/api/docs",
    "/api/docs/errors",
    "/api/v1/plans",
    "/api/v1/usage/current",
)
CUSTOMERS = (
    "/dashboard/",
    "/dashboard/keys/",
    "/dashboard/notices/",
    "/dashboard/usage/",
    "/dashboard/agents/",
    "/dashboard/settings/",
    "/dashboard/plans/",
    "/dashboard/plans/change/pro/",
    "/dashboard/billing/",
    "/dashboard/billing/details/",
    "/accounts/email/",
    "/accounts/logout/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/api/v1/",
    "/api/v1/usage/current",
    "/api/v1/usage/track",
    "/api/v1/nothing",
    "/api/v1/graph/nodes",
)


@pytest.fixture
def staff(chromium: Chromium, superuser: Staff) -> User:
    return superuser.user


@pytest.fixture
def rows(staff: User, alice: Customer, bob: Customer, carol: Customer, dave: Customer) -> dict[str, Model]:
    """Bob owes an invoice, Carol's plan changes at the period's end, Dave is parked, and a message to Alice fails.

    The roles of staff are there as on a new site, with names of permissions that are wider than a phone.
    """
    now = timezone.now()
    roles.make(apps)
    for customer in (carol, dave):
        pay_in_full(Invoice.objects.get(account=customer.account), now)
    pro, business = (Plan.objects.get(code=code) for code in ("pro", "business"))
    move = moves.begin(moves.Order(pro, business, BulkMove.When.NOW, False, "it is retired"), now)
    work.work_off(move, timezone.now)
    schedule(Subscription.objects.get(account=carol.account), Plan.objects.get(code="starter"))
    Subscription.objects.filter(account=dave.account).update(parked_at=now, parked_because="it looks wrong")
    LimitOverride.objects.create(account=alice.user, limit="minute", maximum=None)
    failing = {"consumer": "log", "delivered": 0, "latest": 1, "due_at": now, "attempts": 2, "error": "no such address"}
    return {
        "owed": Invoice.objects.get(account=bob.account),
        "paid": Invoice.objects.get(account=carol.account),
        "subscription": Subscription.objects.get(account=carol.account),
        "parked": Subscription.objects.get(account=dave.account),
        "key": ApiKey.objects.get(account=alice.account),
        "plan": Plan.objects.get(code="starter"),
        "customer": bob.user,
        "move": move,
        "delivery": OutboxCursor.objects.create(account=alice.user, **failing),
        "role": Group.objects.get(name=roles.SUPPORT),
    }


def page(row: Model, name: str = "change") -> str:
    return f"{reverse(f'admin:{row._meta.app_label}_{row._meta.model_name}_changelist')}{quote(row.pk)}/{name}/"


def questions(rows: dict[str, Any]) -> dict[str, str]:
    """Pages that ask before something is done, and what the button that does it is called."""
    return {
        page(rows["owed"], "void"): "Void the invoice",
        page(rows["key"], "revoke"): "Revoke the key",
        page(rows["delivery"], "skip"): "Skip this message",
        page(rows["delivery"], "retry"): "Try again now",
        page(rows["plan"], "archive"): "Archive the plan",
        page(rows["subscription"], "cancel_scheduled_change"): "Cancel the scheduled change",
        page(rows["owed"], "pay"): "Mark as paid",
        page(rows["paid"], "credit"): "Issue the credit note",
        page(rows["parked"], "release"): "Release the subscription",
        page(rows["plan"], "move_subscribers"): "Try it",
        page(rows["move"], "go"): "Move them",
        page(rows["customer"], "erase"): "Erase personal data",
        f"{page(rows['subscription'], 'change_plan')}?target=business": "Change plan now",
    }


def of_staff(staff: User, rows: dict[str, Any]) -> list[str]:
    request = RequestFactory().get("/")
    request.user = staff
    choices = [page(rows["subscription"], name) for name in ("change_plan", "schedule_downgrade", "credit")]
    found = ["/admin/", *choices, *(page(row) for row in rows.values())]
    for site in admin.site._registry.values():
        listed = reverse(f"admin:{site.opts.app_label}_{site.opts.model_name}_changelist")
        chosen = LONG or site.opts.model_name in ("plan", "usagelog", "group", "limitoverride")
        if not chosen:
            continue
        found += [listed, *([f"{listed}add/"] if site.has_add_permission(request) else [])]
        if row := site.model._default_manager.first():
            deletes = ["delete"] if site.has_delete_permission(request, row) else []
            found += [page(row, name) for name in ("change", "history", *deletes)]
    return list(dict.fromkeys(found))


def faults_of(tab: Tab, paths: list[str] | tuple[str, ...]) -> str:
    found: list[str] = []
    for path in paths:
        tab.open(path)
        found += [f"{path}: {fault}" for fault in tab.faults()]
    return "\n".join(found)


def test_every_page_of_staff(chromium: Chromium, staff: User, rows: dict[str, Model]) -> None:
    paths = of_staff(staff, rows)
    assert chromium.browse(staff, lambda tab: faults_of(tab, paths)) == ""


def test_pages_of_overage(chromium: Chromium, staff: User, customer: Callable[..., Customer]) -> None:
    plan = make_metered()
    mia = customer("mia", plan.code)
    subscription = Subscription.objects.get(account=mia.account)
    use(mia.account, 3_000, timezone.now())
    renewal.renew_due(subscription.period_ends_at)
    row = WindowOverage.objects.get()
    listed = reverse("admin:billing_windowoverage_changelist")
    paths = [listed, page(row), page(plan), page(subscription), page(subscription, "overage_cap")]
    assert chromium.browse(staff, lambda tab: faults_of(tab, paths)) == ""


def test_pages_of_strangers_and_customers(chromium: Chromium, alice: Customer) -> None:
    assert chromium.browse(None, lambda tab: faults_of(tab, STRANGERS)) == ""
    assert chromium.browse(alice.user, lambda tab: faults_of(tab, CUSTOMERS)) == ""


def test_a_question_is_read_first_and_says_what_it_does(
    chromium: Chromium, staff: User, rows: dict[str, Model]
) -> None:
    asked = questions(rows)
    back_from = {  # what is done to a subscription leads back to its customer
        page(row, name): page(row.account)  # type: ignore[attr-defined]
        for row in (rows["subscription"], rows["parked"])
        for name in ("cancel_scheduled_change", "change_plan", "release")
    }

    def look(tab: Tab, path: str, button: str) -> tuple[str, bool, list[str]]:
        tab.open(path)
        tab.at_heading()
        form = tab.page.get_by_role("form", name=tab.page.locator("#action-title").inner_text(), exact=True)
        does = form.get_by_role("button", name=button, exact=True)
        red = "bg-red-600" in (does.get_attribute("class") or "").split()
        back = form.get_by_role("link", name="Back", exact=True).get_attribute("href")
        assert back == back_from.get(path.split("?", maxsplit=1)[0], urljoin(path, "../change/"))
        return button, red, tab.faults()

    seen = chromium.browse(staff, lambda tab: [look(tab, *each) for each in asked.items()])
    final = {"Void the invoice", "Revoke the key", "Skip this message", "Move them", "Erase personal data"}
    assert seen == [(button, button in final, []) for button in asked.values()]


def test_the_keyboard_is_enough(chromium: Chromium, staff: User, rows: dict[str, Any]) -> None:
    def void(tab: Tab) -> str:
        tab.open(page(rows["owed"]))
        tab.page.get_by_role("link", name="Void the invoice").press("Enter")
        tab.page.wait_for_url(lambda url: url.endswith("/void/"))
        tab.at_heading()
        tab.page.get_by_role("link", name="Back", exact=True).press("Enter")
        tab.page.wait_for_url(lambda url: url.endswith("/change/"))
        tab.open(page(rows["owed"], "void"))
        tab.at_heading()
        tab.page.keyboard.press("Tab")
        tab.page.wait_for_function("document.activeElement?.type === 'submit'")
        tab.page.keyboard.press("Enter")
        tab.page.wait_for_url(lambda url: url.endswith("/change/"))
        return str(tab.page.locator("body").inner_text())

    assert f"{rows['owed']} is void." in chromium.browse(staff, void)
    rows["owed"].refresh_from_db()
    assert rows["owed"].status == Invoice.Status.VOID


def test_a_right_is_taken_from_a_role_by_the_mouse(chromium: Chromium, staff: User, rows: dict[str, Any]) -> None:
    role = rows["role"]
    before = role.permissions.count()

    def take(tab: Tab) -> None:
        tab.open(page(role))
        chosen = tab.page.get_by_role("listitem").filter(has_text="Can change API key")
        chosen.locator(".select2-selection__choice__remove").click()
        chosen.wait_for(state="detached")
        tab.page.keyboard.press("Escape")  # the list of what could be chosen
        tab.page.get_by_role("button", name="Save", exact=True).click()
        tab.page.wait_for_url(lambda url: not url.endswith("/change/"))

    chromium.browse(staff, take)
    assert role.permissions.count() == before - 1
    assert not role.permissions.filter(codename="change_apikey").exists()


def test_what_moves_on_staffs_pages_moves_under_the_policy(chromium: Chromium, staff: User, alice: Customer) -> None:
    feature = Feature.objects.get(code="risk_score")

    def use(tab: Tab) -> list[str]:
        within = tab.page
        tab.open("/admin/")
        within.keyboard.press("Control+k")
        within.wait_for_function("document.activeElement?.id === 'search-input-command'")
        within.keyboard.type("plan")
        within.locator("#command-results-list").get_by_text("Plan").first.wait_for()
        tab.open("/admin/billing/limitoverride/add/")
        within.locator(".field-account .select2-selection").click()
        within.keyboard.type("ali")
        within.locator(".select2-results__option", has_text="alice").click()
        within.locator("#calendarlink0").click()
        within.locator("#calendarbox0 td a").first.click()
        within.locator("#clocklink0").click()
        within.locator("#clockbox0 a").first.click()
        assert within.locator("#id_expires_at_0").input_value() and within.locator("#id_expires_at_1").input_value()
        for scheme in ("light", "dark"):  # from the system's
            within.keyboard.press("Control+e")
            within.wait_for_function(f"document.documentElement.className === '{scheme}'")
        found = tab.faults()
        tab.open(page(feature))
        before = within.locator("input[name$=-path]").count()
        within.get_by_text("Add another Route").click()
        assert within.locator("input[name$=-path]").count() == before + 1
        tab.open(f"/admin/auth/user/{alice.account}/edit/")
        within.locator(".field-user_permissions .select2-selection").click()
        within.keyboard.type("Can view plan")
        within.locator(".select2-results__option", has_text="Can view plan").click()
        return found + tab.faults()

    assert chromium.browse(staff, use) == []


def test_a_new_key_is_copied(chromium: Chromium, staff: User, alice: Customer) -> None:
    def make(tab: Tab) -> tuple[str, str, list[str]]:
        within = tab.page
        within.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tab.url)
        tab.open("/admin/billing/apikey/add/")
        within.locator(".select2-selection").click()
        within.keyboard.type("alice")
        within.locator(".select2-results__option", has_text="alice").click()
        within.locator("#id_name").fill("second")
        within.locator("button[name=_save]").click()
        within.get_by_role("button", name="Copy the key").click()
        within.get_by_role("button", name="Copied").wait_for()
        copied = within.evaluate("navigator.clipboard.readText()")
        return str(copied), str(within.locator("#plain-key").inner_text()), tab.faults()

    copied, shown, faults = chromium.browse(staff, make)
    assert copied == shown and ApiKey.objects.get(name="second").prefix == copied.split(".")[0][-8:]
    assert faults == []


def test_a_customer_logs_out_of_the_browsable_api(chromium: Chromium, alice: Customer) -> None:
    def log_out(tab: Tab) -> list[str]:
        tab.open("/api/v1/plans")
        tab.page.get_by_role("link", name="Sign out").click()
        tab.page.get_by_role("button", name="Sign out").click()
        tab.page.get_by_role("link", name="Sign in").first.wait_for()
        return tab.faults()

    assert chromium.browse(alice.user, log_out) == []
