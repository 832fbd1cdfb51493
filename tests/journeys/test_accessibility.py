"""Every page held against axe-core's rules: light and dark, on a phone and on a desk. No violation is left over."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.contrib.auth.models import User
from django.db.models import Model
from django.urls import reverse

from billing_site.dashboard.navigation import PAGES
from tests.cast import Customer
from tests.effort import LONG, in_turn, some
from tests.journeys.chromium import Chromium, Tab, chromium, playwright_browser
from tests.journeys.test_pages import CUSTOMERS, STRANGERS, of_staff, questions, rows, staff

__all__ = ["chromium", "playwright_browser", "rows", "staff"]
pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
BOTH = (PHONE, DESK)
LOOKS = [("light", BOTH), ("dark", BOTH)] if LONG else [("light", (PHONE,)), ("dark", (DESK,))]
ERRORS = ("/nothing-here", "/accounts/nothing-here")
ASK = r"""async () => {
  const shown = (rule, node) => `${rule.id}: ${node.html.replace(/\s+/g, " ").slice(0, 160)}`;
  return (await axe.run()).violations.flatMap((rule) => rule.nodes.map((node) => shown(rule, node)));
}"""


def violations(tab: Tab, paths: Iterable[str]) -> str:
    base = pytest.importorskip("axe_playwright_python.base", reason="axe-core is missing: see requirements-dev.txt")
    script = base.AXE_FILE_PATH.read_text()
    found: dict[str, None] = {}
    for turn, path in enumerate(some(paths, 2)):
        for scheme, sizes in in_turn(LOOKS, turn):
            tab.page.emulate_media(color_scheme=scheme)
            tab.page.set_viewport_size(sizes[0])
            tab.open(path)
            tab.page.wait_for_load_state("networkidle")
            tab.page.evaluate(script)
            for size in sizes:
                tab.page.set_viewport_size(size)
                faults = tab.page.evaluate(ASK)
                found |= dict.fromkeys(f"{path} {scheme} {size['width']}: {fault}" for fault in faults)
    return "\n".join(found)


def test_pages_of_staff(chromium: Chromium, staff: User, rows: dict[str, Model]) -> None:
    asked = list(questions(rows))
    paths = [*of_staff(staff, rows), *(asked if LONG else asked[:2]), "/admin/nothing-here", "/admin/password_change/"]
    assert chromium.browse(staff, lambda tab: violations(tab, paths)) == ""


def test_pages_of_customers(chromium: Chromium, alice: Customer) -> None:
    pages = [reverse(name) for name, _ in PAGES]
    paths = dict.fromkeys([*CUSTOMERS, *pages, *ERRORS, "/dashboard/nothing-here"])
    assert chromium.browse(alice.user, lambda tab: violations(tab, paths)) == ""


def test_pages_of_strangers(chromium: Chromium) -> None:
    assert chromium.browse(None, lambda tab: violations(tab, [*STRANGERS, *ERRORS])) == ""
