"""Keys in a real browser: made, copied, used, rotated, revoked; with the keyboard, and without JavaScript."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from django.test import Client

from billing.models import ApiKey, ApiKeyUse
from tests.billing.waiting import until
from tests.cast import Customer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.journeys.server import Server

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_from_the_form_to_a_call(chromium: Chromium, bob: Customer) -> None:
    def work(tab: Tab) -> tuple[str, str, list[str]]:
        within = tab.page
        within.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=tab.url)
        tab.open("/dashboard/keys/")
        faults = tab.faults()
        assert not within.get_by_label("Last day").is_visible()
        within.get_by_label("Name", exact=True).fill("laptop")
        within.get_by_label("Expires").select_option("day")
        within.get_by_label("Last day").wait_for()
        within.get_by_label("Expires").select_option("30")
        within.get_by_role("button", name="Make the key").press("Enter")
        within.get_by_role("button", name="Copy the key").click()
        within.get_by_role("button", name="Copied").wait_for()
        copied = str(within.evaluate("navigator.clipboard.readText()"))
        shown = str(within.locator("#key").inner_text())
        assert shown in within.locator("#call").inner_text() and shown not in within.url
        faults += tab.faults()
        within.reload()  # leads to the list, and asks nothing
        within.get_by_role("heading", name="Keys that work").wait_for()
        assert shown not in within.content()
        within.get_by_role("button", name="Rotate laptop").click()
        faults += tab.faults()
        within.get_by_role("button", name="Rotate the key").click()
        second = str(within.locator("#key").inner_text())
        faults += tab.faults()
        within.get_by_role("link", name="back to all keys").click()
        within.get_by_role("button", name="Revoke laptop").first.click()
        faults += tab.faults()
        within.get_by_role("button", name="Revoke the key").press("Enter")
        within.get_by_text("is revoked").wait_for()
        assert copied == shown
        return copied, second, faults + tab.faults()

    first, second, faults = chromium.browse(bob.user, work)
    assert faults == []
    assert [status_of(key) for key in (first, second)] == [200, 401]
    assert ApiKey.objects.filter(name="laptop").count() == 2


def test_a_key_is_given_limits(chromium: Chromium, bob: Customer) -> None:
    def work(tab: Tab) -> list[str]:
        within = tab.page
        tab.open("/dashboard/keys/")
        within.get_by_text("Limits of the key").click()
        faults = tab.faults()
        within.get_by_role("button", name="Limits bob's key").click()
        within.get_by_label("Tokens per day").fill("2000")
        within.get_by_label("Calls per run").fill("50")
        within.get_by_role("button", name="Save").press("Enter")
        within.get_by_text("Saved.").wait_for()
        within.get_by_text("2,000").wait_for()
        faults += tab.faults()
        within.get_by_role("button", name="Limits bob's key").click()
        within.get_by_role("cell", name="2,000").wait_for()
        return faults + tab.faults()

    assert chromium.browse(bob.user, work) == []
    assert status_of(bob.key) == 200


def test_without_javascript(chromium: Chromium, bob: Customer) -> None:
    def work(tab: Tab) -> Any:
        context = chromium.browser.new_context(
            java_script_enabled=False, storage_state=tab.page.context.storage_state()
        )
        page = context.new_page()
        page.goto(f"{tab.url}/dashboard/keys/")
        page.get_by_label("Name", exact=True).fill("script")
        page.get_by_role("button", name="Make the key").click()
        key = page.locator("#key").text_content()
        page.reload()  # sends the form once more
        told = page.locator("main").text_content()
        context.close()
        return key, told

    key, told = chromium.browse(bob.user, work)
    assert status_of(key) == 200 and key not in told and "shown only once" in told
    assert ApiKey.objects.filter(name="script").count() == 1


def status_of(key: str) -> int:
    return Client(headers={"authorization": f"Bearer {key}"}).get("/api/v1/usage/current").status_code


def test_a_worker_that_ends_writes_when_keys_were_used(server: Server, bob: Customer) -> None:
    assert server.session(bob.key).get(f"{server.url}/api/v1/usage/current", timeout=60).status_code == 200
    for worker in server.workers():
        os.kill(worker, signal.SIGTERM)
    until(lambda: ApiKeyUse.objects.filter(key__account=bob.account).exists())
