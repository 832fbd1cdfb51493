"""The API in a browser: logged in through the session, GETs as pages, and what each view has cost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.billing.metered import make_metered
from tests.billing_site.browsable.browser import CURRENT, LOGIN, TRACK, Browser, in_browser, is_page, left
from tests.cast import Customer


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
