"""Refusals as pages: they say what to do, and show what callers send as text."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from billing.http import problems
from billing.models import LimitOverride
from tests.billing_site.browsable.browser import CURRENT, LOGIN, PAGE, TRACK, Browser, in_browser, is_page
from tests.cast import Customer

SCRIPT = "<script>alert(1)</script>"


def test_nobody_is_shown_the_way_to_log_in(catalogue: None) -> None:
    page = Browser().get(f"{CURRENT}?a=1&b=2")
    assert page.status_code == 401 and is_page(page)
    assert page["WWW-Authenticate"] == "Bearer"
    button = re.search(rf'role="button" href="({LOGIN}[^"]*)"', page.text)
    assert button is not None
    assert parse_qs(urlsplit(button[1]).query)["next"] == [f"{CURRENT}?a=1&b=2"]


def test_missing_capability_is_a_page_with_the_plan_that_has_it(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/agent/query")
    assert page.status_code == 403 and is_page(page)
    assert "The Community plan does not include ai_agents." in page.text
    assert 'href="/dashboard/">Upgrade to business</a>' in page.text


def test_minute_used_up_is_a_page_that_says_how_long(alice_in_browser: Browser) -> None:
    assert [alice_in_browser.get(CURRENT).status_code for _ in range(10)] == [200] * 10
    page = alice_in_browser.get(CURRENT)
    assert page.status_code == 429 and is_page(page)
    assert f"passes in {page['Retry-After']} second" in page.text
    assert 'href="/dashboard/">Upgrade to starter</a>' in page.text


def test_quota_used_up_is_a_page_that_says_when_it_resets(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit=LimitOverride.Name.QUOTA, maximum=15)
    browser = in_browser(alice)
    assert browser.get("/api/v1/trace/start").status_code == 200
    page = browser.get("/api/v1/trace/start")
    assert page.status_code == 429 and is_page(page)
    assert "Monthly quota exceeded. Please upgrade your plan." in page.text
    assert re.search(r"There are more tokens from \d{4}-\d\d-01T00:00:00Z on\.", page.text)


def test_page_promises_nothing_where_waiting_cannot_help(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit=LimitOverride.Name.QUOTA, maximum=9)
    page = in_browser(alice).get("/api/v1/trace/start")
    assert page.status_code == 429 and "Retry-After" not in page
    assert "There are more tokens" not in page.text and "passes in" not in page.text


def test_a_path_that_is_not_there_is_a_page(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/nothing")
    assert page.status_code == 404 and is_page(page)


def test_nothing_a_caller_sends_becomes_markup(alice_in_browser: Browser) -> None:
    token = alice_in_browser.token
    pages = [
        alice_in_browser.get(f"{CURRENT}?{SCRIPT}=1"),
        alice_in_browser.get("/api/v1/agent/query", QUERY_STRING=f"x={SCRIPT}"),
        alice_in_browser.track(SCRIPT, token),
        alice_in_browser.post(TRACK, {SCRIPT: SCRIPT}, "application/json", headers={"x-csrftoken": token}),
        alice_in_browser.post(TRACK, {}, "application/json", headers={"origin": f"https://{SCRIPT}"}),
        Browser().get("/api/v1/trace/start", QUERY_STRING=f'"><u a="{SCRIPT}'),
    ]
    assert [page.status_code for page in pages] == [400, 403, 400, 400, 403, 401]
    for page in pages:
        assert is_page(page)
        assert SCRIPT not in page.text and '"><u' not in page.text
    assert "Origin checking failed - https://&lt;script&gt;" in pages[4].text


def a_request(**more: Any) -> Any:
    request = RequestFactory().get("/api/v1/x", headers={"accept": PAGE})
    request.user = AnonymousUser()
    for name, value in more.items():
        setattr(request, name, value)
    return request


def test_members_are_shown_as_the_json_they_are() -> None:
    members = {"errors": {SCRIPT: ["<i>"]}, "amount": Decimal("10.00"), "retry_after": None, "names": ["a", "b"]}
    page = problems.respond(a_request(), 409, "quote_expired", f"{SCRIPT} & so on", **members)
    assert SCRIPT not in page.text and "<i>" not in page.text
    assert "&quot;amount&quot;: 10.00" in page.text
    assert "&quot;retry_after&quot;: null" in page.text
    assert "&quot;&lt;i&gt;&quot;" in page.text
    assert "passes in" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on" in page.text


def test_page_of_an_unreachable_database_does_not_ask_it_who_is_looking(
    alice: Customer, django_assert_num_queries: Any
) -> None:
    user = SimpleLazyObject(lambda: get_user_model().objects.get(pk=alice.account))
    with django_assert_num_queries(0):
        page = problems.respond(a_request(user=user), 503, "unavailable", "Try again.", {"Retry-After": "1"})
    assert page.status_code == 503 and "alice" not in page.text


def test_clients_that_prefer_json_or_anything_get_json(catalogue: None) -> None:
    for accept in ("application/json", "*/*", "application/problem+json", "application/json, text/html;q=0.5"):
        refused = Client().get(CURRENT, headers={"accept": accept})
        assert refused["Content-Type"] == "application/problem+json"
