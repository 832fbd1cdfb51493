"""Every page says what it may load and run, and none of ours needs an exception."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from billing.models import Plan
from billing_site.request.content_security import HEADER, OURS
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db
TEMPLATES = Path(__file__).resolve().parents[3] / "templates"
BROWSER = {"Accept": "text/html"}


class Inline(HTMLParser):
    """What of a page the policy would keep from running."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and "src" not in given and given.get("type") != "application/json":
            self.found.append("<script>")
        if tag == "script" and not (given.get("src") or "/").startswith(("/", "?")):
            self.found.append(f"<script> from {given['src']}")
        self.found += [f"{tag} {name}" for name in given if re.fullmatch("on[a-z]+", name)]
        self.found += [f"{tag} {value}" for value in given.values() if (value or "").startswith("javascript:")]


def is_guarded(response: Any) -> str:
    """The page's policy."""
    assert response.headers["Content-Type"].startswith("text/html")
    policy: str = response.headers[HEADER]
    (scripts,) = [part for part in policy.split("; ") if part.startswith("script-src")]
    assert "unsafe-inline" not in scripts and "*" not in policy and "http" not in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert "camera=()" in response.headers["Permissions-Policy"]
    assert Inline(response.content.decode()).found == []
    return policy


@pytest.mark.parametrize(
    ("path", "status"),
    [("/admin/login/", 200), ("/api/auth/login/", 200), ("/api/docs", 200), ("/nothing", 404), ("/api/v1/plans", 200)],
)
def test_a_strangers_page(catalogue: None, path: str, status: int) -> None:
    response = Client().get(path, headers=BROWSER)
    assert response.status_code == status
    assert ("unsafe-eval" in is_guarded(response)) is path.startswith("/admin/")


def test_pages_of_the_admin(superuser: Staff, alice: Customer) -> None:
    plan = Plan.objects.get(code="starter")
    pages = ["", "billing/plan/", f"billing/plan/{plan.pk}/change/", f"billing/plan/{plan.pk}/history/", "auth/user/"]
    pages += ["billing/subscription/", f"billing/subscription/{alice.user.subscriptions.get().pk}/change_plan/"]
    for page in pages:
        assert "unsafe-eval" in is_guarded(superuser.open(page)), page


def test_the_page_that_shows_a_new_key(superuser: Staff, alice: Customer) -> None:
    page = superuser.send("billing/apikey/add/", account=alice.account, name="n", scope="")
    is_guarded(page)
    assert 'data-list="/admin/billing/apikey/"' in page.content.decode()


def test_the_docs_script_is_a_file(catalogue: None) -> None:
    page = Client().get("/api/docs", headers=BROWSER).content.decode()
    (script,) = re.findall(r'<script src="([^"]*script=[^"]*)"', page)
    answer = Client().get(script)
    assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (200, "application/javascript")
    assert b"SwaggerUIBundle" in answer.content


def test_what_is_no_page_has_no_policy(alice: Customer) -> None:
    for path in ("/api/v1/usage/current", "/health"):
        assert HEADER not in alice.api.get(path).headers


def test_a_page_of_nobodys_library_has_the_strict_policy() -> None:
    assert Client().get("/nothing").headers[HEADER] == OURS and "unsafe" not in OURS


PAGES = sorted(path for path in TEMPLATES.rglob("*.html") if "mails" not in path.parts)
"""Mails are read elsewhere, by programs that want styles in them."""


@pytest.mark.parametrize("template", PAGES, ids=lambda path: path.name)
def test_no_template_of_ours_has_scripts_or_styles_inline(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=", text)
