"""The overview in a browser: it follows what is used by itself, and rests while nobody looks at it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cast import Customer
from tests.journeys.chromium import NARROW, WIDE, Chromium, Tab, chromium, playwright_browser
from usage.drain import drain
from usage.metering import refused_calls
from usage.models import DailyUsage, WindowUsage

__all__ = ["chromium", "playwright_browser"]
pytestmark = pytest.mark.django_db(transaction=True)
FIGURE = "#quota-title + .figure"


def hide(tab: Tab, *, hidden: bool) -> None:
    """As when another tab is in front: a headless browser has no other way to say so."""
    state = "hidden" if hidden else "visible"
    tab.page.evaluate(
        f"""Object.defineProperty(document, "visibilityState", {{ value: "{state}", configurable: true }});
        document.dispatchEvent(new Event("visibilitychange"));"""
    )


def test_the_gauge_moves_by_itself(chromium: Chromium, bob: Customer) -> None:
    def look(tab: Tab) -> None:
        tab.open("/dashboard/")
        assert tab.page.inner_text(FIGURE).startswith("0")
        tab.page.evaluate("fetch('/api/v1/trace/start')")
        tab.page.locator(FIGURE, has_text="10 of 500").wait_for()
        assert tab.faults() == []

    chromium.browse(bob.user, look)


def test_it_rests_while_nobody_looks(chromium: Chromium, bob: Customer) -> None:
    def look(tab: Tab) -> None:
        asked: list[str] = []
        tab.page.on("request", lambda request: asked.append(request.url))
        tab.page.clock.install()
        tab.open("/dashboard/")
        hide(tab, hidden=True)
        asked.clear()
        tab.page.clock.run_for(60_000)
        assert asked == []
        with tab.page.expect_response("**/dashboard/standing/"):
            hide(tab, hidden=False)
        with tab.page.expect_response("**/dashboard/standing/"):
            tab.page.clock.run_for(5_000)

    chromium.browse(bob.user, look)


def test_who_is_logged_out_meanwhile_is_asked_to_log_in(chromium: Chromium, bob: Customer) -> None:
    def look(tab: Tab) -> None:
        tab.open("/dashboard/")
        tab.page.context.clear_cookies()
        hide(tab, hidden=False)
        tab.page.locator("input[name=login]").wait_for()  # each part of the page leads there, so no load has to end
        assert "/accounts/login/" in tab.page.url

    chromium.browse(bob.user, look)


def a_month_of(customer: Customer) -> None:
    today, account = datetime.now(UTC).date(), customer.account
    customer.api.get("/api/v1/trace/start")
    for _ in range(3):
        customer.api.get("/api/v1/agent/query")
    refused_calls.flush()
    drain.drain()
    start = WindowUsage.objects.get(account_id=account).starts_at
    before = (start - timedelta(days=1)).replace(day=1)
    WindowUsage.objects.create(account_id=account, starts_at=before, ends_at=start, tokens=600, revision=1)
    DailyUsage.objects.bulk_create(
        DailyUsage(
            account_id=account, date=today - timedelta(days=n), feature=feature, tokens=3 + (n * seed) % 11, calls=1
        )
        for n in range(1, 56)
        for seed, feature in enumerate(("trace_start", "graph_query", "risk_score", "wallet_scan"), 3)
    )


@pytest.mark.parametrize("path", ["/dashboard/", "/dashboard/usage/"])
def test_pages_fit_every_eye_and_screen(chromium: Chromium, bob: Customer, path: str) -> None:
    a_month_of(bob)

    def look(tab: Tab) -> list[str]:
        found = []
        for mode in ("light", "dark"):
            tab.page.emulate_media(color_scheme=mode)
            tab.open(path)
            if details := tab.page.query_selector("details"):
                details.evaluate("each => each.open = true")
            found += [f"{mode}: {fault}" for fault in tab.faults()]
            _picture(tab, f"{path.strip('/').replace('/', '-')}-{mode}")
        return found

    assert chromium.browse(bob.user, look) == []


def _picture(tab: Tab, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        for size, width in ((WIDE, "wide"), (NARROW, "narrow")):
            tab.page.set_viewport_size(size)
            tab.page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True)
