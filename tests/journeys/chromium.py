"""A real browser: Chromium, driven by Playwright. Its tests are skipped where either is missing.

Playwright keeps an event loop in its thread, where Django refuses its ORM; so it has a thread of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.contrib.auth.models import User
from django.test import Client

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SECONDS = 30
CHECKS = Path(__file__).with_name("page_checks.js")
T = TypeVar("T")


class Tab:
    """A page of the browser, logged in as somebody, that remembers what went wrong on it."""

    def __init__(self, url: str, page: Any) -> None:
        self.url = url
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(SECONDS * 1000)
        page.add_init_script(path=CHECKS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(f"error: {error}"))

    def _on_console(self, message: Any) -> None:
        # A page that is itself a refusal is named on the console, too.
        if message.type == "error" and message.location.get("url") != self.page.url:
            self.errors.append(f"console: {message.text} {message.location.get('url')}")

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def at_heading(self) -> None:
        """Wait until whoever reads the page by ear is at its heading."""
        self.page.wait_for_function("document.activeElement?.id === 'action-title'")

    def faults(self) -> list[str]:
        """What the page's policy refused, failed, or is not for every eye, screen and phone; forgotten afterwards."""
        self.page.mouse.move(0, 0)  # off what it hovers over
        found = [*self.errors, *self._checked("refused.splice(0)"), *self._checked("lowContrast()")]
        self.errors.clear()
        for size in (NARROW, WIDE):
            self.page.set_viewport_size(size)
            found += [*self._checked("tooWide()"), *self._checked("outOfReach()")]
        return found

    def _checked(self, check: str) -> list[str]:
        found: list[str] = self.page.evaluate(f"window.pageChecks.{check}")
        return found


class Chromium:
    """The browser, looking at a site."""

    def __init__(self, url: str, thread: ThreadPoolExecutor, browser: Any) -> None:
        self.url = url
        self.thread = thread
        self.browser = browser

    def browse(self, user: User | None, work: Callable[[Tab], T]) -> T:
        """What `work` makes of a new tab in which the user, if any, is logged in."""
        cookies = []
        if user is not None:
            client = Client()
            client.force_login(user)
            cookies = [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.url}]

        def in_thread() -> T:
            context = self.browser.new_context(viewport=WIDE)
            try:
                context.add_cookies(cookies)
                return work(Tab(self.url, context.new_page()))
            finally:
                context.close()

        return self.thread.submit(in_thread).result()


@pytest.fixture(scope="session")
def playwright_browser() -> Iterator[tuple[ThreadPoolExecutor, Any]]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: see requirements-dev.txt")
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)} is on PATH")
    with ThreadPoolExecutor(1) as thread:
        driver = thread.submit(lambda: playwright.sync_playwright().start()).result()
        try:
            browser = thread.submit(driver.chromium.launch, executable_path=executable, args=FLAGS).result()
            yield thread, browser
            thread.submit(browser.close).result()
        finally:
            thread.submit(driver.stop).result()


@pytest.fixture
def chromium(playwright_browser: tuple[ThreadPoolExecutor, Any], live_server: Any, catalogue: None) -> Chromium:
    """Looks at this process: a server beside it would remember content types that the test before has flushed away."""
    return Chromium(live_server.url, *playwright_browser)
