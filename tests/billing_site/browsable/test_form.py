"""The form of a page: filled with the documented example, and held to CSRF."""

from __future__ import annotations

import re

import pytest

from billing_site.openapi.browsable import operations_at
from tests.billing_site.browsable.browser import CURRENT, TRACK, Browser, is_page, left
from tests.schema import document


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
