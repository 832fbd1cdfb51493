"""The API in a browser: logged in through the session, GETs as pages, refusals as pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.test import Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from billing.http import problems
from billing.models import LimitOverride
from billing_site.openapi.browsable import operations_at
from tests.billing.metered import make_metered
from tests.cast import Customer
from tests.schema import CheckedClient, document

PAGE = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
LOGIN = "/api/auth/login/"
CURRENT = "/api/v1/usage/current"
TRACK = "/api/v1/usage/track"
SCRIPT = "<script>alert(1)</script>"


class Browser(CheckedClient):
    """A client that asks for pages, keeps cookies, and is held to CSRF as a browser is."""

    def __init__(self) -> None:
        super().__init__(enforce_csrf_checks=True, headers={"accept": PAGE})

    def log_in(self, name: str, password: str, **more: str) -> Any:
        page = self.get(LOGIN, more)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token is not None
        form = {"username": name, "password": password, "csrfmiddlewaretoken": token[1]} | more
        return self.post(LOGIN, form)

    def track(self, feature: str, token: str | None = None) -> Any:
        """What the page's raw data form sends."""
        headers = {"accept": "text/html; q=1.0, */*"} | ({} if token is None else {"x-csrftoken": token})
        return self.post(TRACK, {"feature": feature}, content_type="application/json", headers=headers)

    @property
    def token(self) -> str:
        return str(self.cookies["csrftoken"].value)


def in_browser(customer: Customer) -> Browser:
    customer.user.set_password("correct horse")
    customer.user.save()
    browser = Browser()
    assert browser.log_in(customer.user.username, "correct horse").status_code == 302
    return browser


@pytest.fixture
def alice_in_browser(alice: Customer) -> Browser:
    return in_browser(alice)


def left(response: Any) -> int:
    """Requests left in the minute."""
    return int(response["X-RateLimit-Remaining"])


def is_page(response: Any) -> bool:
    return bool(response["Content-Type"].startswith("text/html"))


# --- Logging in and out


def test_login_leads_to_where_one_came_from_or_to_the_dashboard(alice: Customer) -> None:
    alice.user.set_password("correct horse")
    alice.user.save()
    assert Browser().log_in("alice", "correct horse")["Location"] == "/dashboard/"
    assert (
        Browser().log_in("alice", "correct horse", next="/api/v1/plans?limit=2")["Location"] == "/api/v1/plans?limit=2"
    )
    assert Browser().log_in("alice", "correct horse", next="https://elsewhere.example/")["Location"] == "/dashboard/"


def test_login_page_says_when_the_password_is_wrong(alice: Customer) -> None:
    refused = Browser().log_in("alice", "wrong")
    assert refused.status_code == 200
    assert "password you specified are not correct" in refused.text


def test_logging_out_ends_it(alice_in_browser: Browser) -> None:
    form = {"csrfmiddlewaretoken": alice_in_browser.token}
    assert alice_in_browser.post("/api/auth/logout/", form).status_code in (200, 302)
    assert alice_in_browser.get(CURRENT).status_code == 401


# --- Pages


@pytest.mark.parametrize("path", [CURRENT, "/api/v1/usage/breakdown", "/api/v1/plans", "/api/v1/features"])
def test_a_page_counts_one_of_the_minute(alice_in_browser: Browser, path: str) -> None:
    first, second = alice_in_browser.get(path), alice_in_browser.get(path)
    assert first.status_code == second.status_code == 200
    assert is_page(first)
    assert (left(first), left(second)) == (9, 8)
    assert "Metered API" in first.text and "alice" in first.text


def test_page_shows_what_the_api_answers(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/plans").text
    assert "&quot;price&quot;: 29.00" in page
    assert "&quot;monthly_token_quota&quot;: &quot;unlimited&quot;" in page


def test_pages_of_the_catalogue_are_open_to_anybody(catalogue: None) -> None:
    page = Browser().get("/api/v1/plans/starter")
    assert page.status_code == 200 and is_page(page)
    assert f"{LOGIN}?next=%2Fapi%2Fv1%2Fplans%2Fstarter" in page.text


def test_pages_load_nothing_from_elsewhere(alice_in_browser: Browser) -> None:
    for path in (CURRENT, TRACK, "/dashboard/", "/api/v1/agent/query", "/api/v1/nothing"):
        references = re.findall(r'(?:src|href)="([^"]*)"', alice_in_browser.get(path).text)
        assert any(reference.startswith("/static/") for reference in references)
        assert not [reference for reference in references if "//" in reference]


# --- Where one stands, and what the page view has cost


def test_the_head_says_what_the_headers_say(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/trace/start")
    assert (page["X-Usage-Cost"], left(page)) == ("10", 9)
    assert "This page view was charged <strong>10 tokens</strong> as <code>trace_start</code>." in page.text
    assert "10 of 100" in page.text and "9 of 10 left" in page.text
    assert "was charged" not in alice_in_browser.get(CURRENT).text


def test_a_page_view_that_fails_is_shown_as_given_back(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/trace/start?fail=418")
    assert page["X-Usage-Cost"] == "0"
    assert "charged nothing" in page.text and "0 of 100" in page.text


def test_a_refusal_costs_nothing_and_says_where_one_stands(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get("/api/v1/agent/query")
    assert "charged nothing" in page.text and "0 of 100" in page.text
    assert 'href="/api/docs/errors#feature_not_in_plan"' in page.text


@pytest.mark.django_db
def test_what_is_unlimited_and_what_is_sold_above_the_quota(customer: Callable[..., Customer]) -> None:
    assert "0, unlimited" in in_browser(customer("erin", "enterprise")).get(CURRENT).text
    make_metered(monthly_token_quota=5)
    page = in_browser(customer("mia", "metered")).get("/api/v1/trace/start")
    assert "10 of 5" in page.text and "5 above it: 0.00 USD" in page.text


# --- The form


def test_where_only_a_post_is_answered_the_page_is_its_form(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get(TRACK)
    assert page.status_code == 405  # a page, and over HTTP what it always was
    assert "Called with" in page.text and "Method Not Allowed" not in page.text
    assert "&quot;feature&quot;: &quot;ai_agent_query&quot;" in page.text
    refused = alice_in_browser.get(TRACK, headers={"accept": "application/json"})
    assert (refused.status_code, refused.json()["code"]) == (405, "method_not_allowed")


def test_every_body_that_is_documented_has_an_example() -> None:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            if "requestBody" in operation:
                described = operation["requestBody"]["content"]["application/json"]
                assert described.get("example") or described.get("examples"), f"{method} {path}"


def test_the_form_keeps_what_was_sent(alice_in_browser: Browser) -> None:
    page = alice_in_browser.track("nonsense", alice_in_browser.token)
    assert page.status_code == 400
    assert "{\n  &quot;feature&quot;: &quot;nonsense&quot;\n}</textarea>" in page.text


def test_a_hosts_own_path_has_no_documentation_and_a_page_all_the_same() -> None:
    assert operations_at("/items/7") == {}
    assert set(operations_at("/api/v1/usage/track/")) == {"post"}
    assert set(operations_at("/api/v1/trace/start/7")) == {"get", "post"}
    assert set(operations_at("/api/v1/billing/token-packs/thousand")) == {"post"}


def test_the_form_charges_with_its_csrf_token(alice_in_browser: Browser) -> None:
    page = alice_in_browser.get(TRACK)
    assert page.status_code == 405 and is_page(page) and "<textarea" in page.text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    tracked = alice_in_browser.track("trace_start", token[1])
    assert tracked.status_code == 200 and is_page(tracked)
    assert "&quot;tokens_total&quot;: 10" in tracked.text
    assert (tracked["X-Usage-Cost"], left(tracked)) == ("10", 8)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_its_csrf_token_nothing_is_charged_or_counted(alice_in_browser: Browser, token: str | None) -> None:
    refused = alice_in_browser.track("trace_start", token)
    assert refused.status_code == 403 and is_page(refused)
    assert "csrf_failed" in refused.text
    assert "X-Usage-Event" not in refused and "RateLimit" not in refused
    after = alice_in_browser.get(CURRENT, headers={"accept": "application/json"})
    assert after.json()["tokens_used"] == 0
    assert left(after) == 9


def test_a_script_gets_the_same_refusal_as_json(alice_in_browser: Browser) -> None:
    headers = {"accept": "application/json"}
    refused = alice_in_browser.post(TRACK, {"feature": "trace_start"}, "application/json", headers=headers)
    assert (refused.status_code, refused["Content-Type"]) == (403, "application/problem+json")
    assert refused.json()["code"] == "csrf_failed"


# --- Refusals


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


# --- What callers send is shown as text


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
