"""The API's pages in a real browser: a POST is sent by its example, and the page says what it cost."""

from __future__ import annotations

import pytest

from billing.models import Plan
from tests.cast import Customer
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)


def test_a_call_is_tracked_by_its_example(chromium: Chromium, dave: Customer) -> None:
    """Dave has every capability. The page of a POST is no error, and its form is filled."""

    def work(tab: Tab) -> list[str]:
        page = tab.page
        tab.open("/api/v1/usage/track")
        assert page.get_by_role("heading", level=1).inner_text() == "Track"
        assert "405" not in page.inner_text("main")
        faults = tab.faults()
        page.get_by_role("button", name="Send POST").click()
        page.get_by_text("This page view was charged 5 tokens as ai_agent_query.").wait_for()
        assert '"tokens_used": 5' in page.inner_text(".answer")
        return faults + tab.faults()

    assert chromium.browse(dave.user, work) == []


def test_another_example_fills_the_box_and_its_line_for_curl(chromium: Chromium, alice: Customer) -> None:
    def work(tab: Tab) -> str:
        tab.open("/api/v1/billing/overage")
        tab.page.get_by_role("button", name="A hard stop").click()
        assert tab.page.get_by_label("JSON").input_value() == '{\n  "cap_tokens": 0\n}'
        tab.page.get_by_text("The same with curl").click()
        return str(tab.page.inner_text("[data-shows]"))

    assert chromium.browse(alice.user, work) == '{\n  "cap_tokens": 0\n}'


def test_a_field_that_is_left_empty_is_not_asked_about(chromium: Chromium, alice: Customer) -> None:
    def work(tab: Tab) -> str:
        tab.open("/api/v1/usage/history")
        tab.page.get_by_text("Query parameters").click()
        tab.page.get_by_label("granularity").select_option("month")
        tab.page.get_by_role("button", name="GET").click()
        tab.page.wait_for_url("**/usage/history?*")
        return str(tab.page.url.partition("?")[2])

    assert chromium.browse(alice.user, work) == "granularity=month"


def test_every_code_has_its_place_on_the_page_of_errors(chromium: Chromium) -> None:
    def work(tab: Tab) -> list[str]:
        tab.open("/api/docs/errors#quota_exceeded")
        assert tab.page.locator("#quota_exceeded").is_visible()
        return tab.faults()

    assert chromium.browse(None, work) == []


def test_the_overview_loads_the_suggestion_by_itself(chromium: Chromium, alice: Customer) -> None:
    for _ in range(2):
        assert alice.api.get("/api/v1/trace/start").status_code == 200
    Plan.objects.filter(code="community").update(monthly_token_quota=10)  # less than she has used, on any day

    def work(tab: Tab) -> list[str]:
        tab.open("/dashboard/")
        tab.page.get_by_text("Starter includes 500.").wait_for()
        return tab.faults()

    assert chromium.browse(alice.user, work) == []
