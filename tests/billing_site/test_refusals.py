"""Every row of the table of errors: status, code, members, headers; and what a refusal costs, which is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Feature, LimitOverride, Plan, TokenTopUp
from tests.clock import moved_by_hand
from tests.conftest import Customer
from tests.contract import (
    MINUTE_MEMBERS,
    PROBLEM,
    QUOTA_MEMBERS,
    QUOTA_SENTENCE,
    WAY_UP,
    has_rate_headers,
    left,
    problem,
)

pytestmark = pytest.mark.django_db
TO_APRIL = 17 * 86400 + 13 * 3600 + 39 * 60 + 30
"""Whole seconds, rounded up, from the frozen instant to the month's end."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with moved_by_hand() as clock:
        yield clock


def limit(customer: Customer, name: str, maximum: int | None) -> None:
    LimitOverride.objects.create(account=customer.user, limit=name, maximum=maximum)


class TestQuota:
    @pytest.fixture
    def spent(self, alice: Customer) -> Customer:
        """Alice after 96 of her 100 tokens, her minute lifted."""
        limit(alice, "minute", None)
        for path in ("trace/start",) * 9 + ("risk/score",) * 3:
            assert alice.api.get(f"/api/v1/{path}").status_code == 200
        return alice

    def test_what_the_caller_is_told(self, spent: Customer) -> None:
        response = spent.api.get("/api/v1/trace/expand")
        assert problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM) == {
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too Many Requests",
            "status": 429,
            "detail": QUOTA_SENTENCE,
            "code": "quota_exceeded",
            "violated-policies": ["quota"],
            "quota": 100,
            "tokens_used": 96,
            "tokens_remaining": 4,
            "cost": 5,
            "resets_at": "2031-04-01T00:00:00Z",
            "retry_after": TO_APRIL,
            "current_plan": "community",
            "suggested_plan": "starter",
            "upgrade_url": "/dashboard/",
        }
        assert response["Retry-After"] == str(TO_APRIL)
        assert response["RateLimit"] == f'"quota";r=4;t={TO_APRIL}'

    def test_the_last_tokens_can_be_spent_to_the_last_one(self, spent: Customer) -> None:
        statuses = [spent.api.get(f"/api/v1/{path}").status_code for path in ("trace/expand", "reports/generate")]
        assert statuses == [429, 200]
        assert spent.api.get("/api/v1/risk/score").json()["tokens_remaining"] == 0

    def test_track_is_refused_in_the_same_words(self, spent: Customer) -> None:
        response = spent.post("/api/v1/usage/track", {"feature": "trace_expand"})
        body = problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert (body["detail"], body["cost"]) == (QUOTA_SENTENCE, 5)
        assert "X-Usage-Event" not in response

    def test_the_quota_does_not_refuse_what_costs_nothing(self, spent: Customer) -> None:
        spent.api.get("/api/v1/reports/generate")
        assert spent.api.get("/api/v1/usage/current").json()["tokens_remaining"] == 0

    def test_when_the_cost_exceeds_the_whole_quota_waiting_cannot_help(self, alice: Customer) -> None:
        Feature.objects.filter(code="trace_start").update(tokens=101)
        response = alice.api.get("/api/v1/trace/start")
        body = problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert (body["retry_after"], body["suggested_plan"]) == (None, "starter")
        assert "Retry-After" not in response
        Feature.objects.filter(code="trace_start").update(tokens=100)

    @pytest.mark.parametrize(("cost", "status"), [(99, 200), (100, 200), (101, 429)])
    def test_a_call_may_cost_the_whole_quota(self, alice: Customer, cost: int, status: int) -> None:
        Feature.objects.filter(code="trace_start").update(tokens=cost)
        assert alice.api.get("/api/v1/trace/start").status_code == status

    def test_a_quota_of_nothing_refuses_and_suggests_nothing_that_has_none_either(self, alice: Customer) -> None:
        limit(alice, "quota", 0)
        response = alice.api.get("/api/v1/trace/start")
        body = problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert (body["quota"], body["retry_after"], body["suggested_plan"]) == (0, None, None)
        assert "Retry-After" not in response

    def test_an_archived_plan_is_not_suggested(self, spent: Customer) -> None:
        Plan.objects.filter(code="starter").update(archived_at=datetime(2031, 1, 1, tzinfo=UTC))
        from billing import snapshots

        snapshots.forget_everything()
        assert spent.api.get("/api/v1/trace/expand").json()["suggested_plan"] == "pro"


class TestMinute:
    def test_what_the_caller_is_told(self, bob: Customer, clock: Any) -> None:
        for _ in range(30):
            assert bob.api.get("/api/v1/usage/current").status_code == 200
        clock.tick(12.5)
        response = bob.api.get("/api/v1/usage/current")
        assert problem(response, 429, "rate_limited", MINUTE_MEMBERS - PROBLEM) == {
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "Rate limit exceeded. Limit: 30 requests/minute. Upgrade for higher limits.",
            "code": "rate_limited",
            "violated-policies": ["minute"],
            "limit": 30,
            "retry_after": 48,
            "current_plan": "starter",
            "suggested_plan": "pro",
            "upgrade_url": "/dashboard/",
        }
        assert response["Retry-After"] == "48"
        assert (response["X-RateLimit-Remaining"], left(response)["minute"]) == ("0", 0)
        assert int(response["X-RateLimit-Reset"]) == int(datetime(2031, 3, 14, 10, 21, 31, tzinfo=UTC).timestamp())

    def test_the_sentence_names_an_overridden_limit(self, bob: Customer) -> None:
        limit(bob, "minute", 1)
        bob.api.get("/api/v1/usage/current")
        body = problem(bob.api.get("/api/v1/usage/current"), 429, "rate_limited", MINUTE_MEMBERS - PROBLEM)
        assert body["detail"] == "Rate limit exceeded. Limit: 1 requests/minute. Upgrade for higher limits."
        assert body["suggested_plan"] is None

    def test_a_limit_of_nothing_refuses_for_good(self, bob: Customer) -> None:
        limit(bob, "minute", 0)
        response = bob.api.get("/api/v1/usage/current")
        body = problem(response, 429, "rate_limited", MINUTE_MEMBERS - PROBLEM)
        assert (body["limit"], body["retry_after"]) == (0, None)
        assert "Retry-After" not in response

    def test_the_capability_counts_for_the_suggestion(self, bob: Customer) -> None:
        for _ in range(30):
            bob.api.get("/api/v1/usage/current")
        assert bob.api.get("/api/v1/graph/nodes").json()["suggested_plan"] == "pro"


class TestBoth:
    @pytest.fixture
    def exhausted(self, alice: Customer) -> Customer:
        for _ in range(10):
            assert alice.api.get("/api/v1/trace/start").status_code == 200
        return alice

    def test_both_are_named_and_the_longer_wait_is_told(self, exhausted: Customer) -> None:
        response = exhausted.api.get("/api/v1/trace/start")
        body = problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert body["violated-policies"] == ["minute", "quota"]
        assert (body["detail"], body["retry_after"]) == (QUOTA_SENTENCE, TO_APRIL)
        assert response["Retry-After"] == str(TO_APRIL)
        assert body["suggested_plan"] == "starter"

    def test_before_the_months_end_the_minute_may_be_the_longer_one(self, alice: Customer, clock: Any) -> None:
        clock.move_to("2031-03-31T23:59:30Z")
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        clock.tick(10)
        body = problem(alice.api.get("/api/v1/trace/start"), 429, "rate_limited", MINUTE_MEMBERS - PROBLEM)
        assert (body["violated-policies"], body["retry_after"]) == (["minute", "quota"], 50)
        clock.tick(49)
        assert alice.api.get("/api/v1/trace/start").status_code == 429
        clock.tick(1)
        assert alice.api.get("/api/v1/trace/start").status_code == 200


class TestTruth:
    """Waiting as long as Retry-After says succeeds; a second less does not."""

    def wait(self, customer: Customer, clock: Any, path: str) -> None:
        seconds = int(customer.api.get(path)["Retry-After"])
        clock.tick(seconds - 1)
        assert customer.api.get(path).status_code == 429
        assert customer.api.get(path)["Retry-After"] == "1"
        clock.tick(1)
        assert customer.api.get(path).status_code == 200

    @pytest.mark.parametrize("passed", [0, 0.001, 0.999, 1, 31.4, 59, 59.999])
    def test_of_the_minute(self, alice: Customer, clock: Any, passed: float) -> None:
        for _ in range(10):
            alice.api.get("/api/v1/usage/current")
        clock.tick(passed)
        self.wait(alice, clock, "/api/v1/usage/current")

    def test_of_a_minute_that_was_spread_out(self, alice: Customer, clock: Any) -> None:
        for _ in range(10):
            alice.api.get("/api/v1/usage/current")
            clock.tick(3.7)
        self.wait(alice, clock, "/api/v1/usage/current")
        assert alice.api.get("/api/v1/usage/current").status_code == 429

    @pytest.mark.parametrize("start", ["2031-03-14T10:20:30.400Z", "2031-03-31T23:59:59.001Z", "2032-02-28T00:00:00Z"])
    def test_of_the_months_quota(self, alice: Customer, clock: Any, start: str) -> None:
        clock.move_to(start)
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_a_quota_by_billing_period(self, alice: Customer, clock: Any) -> None:
        Plan.objects.filter(code="community").update(quota_window="billing_period")
        clock.move_to("2031-05-10T08:00:00Z")
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        body = alice.api.get("/api/v1/trace/start").json()
        assert body["resets_at"] == "2031-05-14T10:20:30Z"
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_an_override_that_ends_before_the_month(self, alice: Customer, clock: Any) -> None:
        expires_at = timezone.now() + timedelta(minutes=10)
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=5, expires_at=expires_at)
        response = alice.api.get("/api/v1/trace/start")
        assert response.json()["retry_after"] == 600
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_a_top_up_that_is_still_to_come(self, alice: Customer, clock: Any) -> None:
        TokenTopUp.objects.create(account=alice.user, tokens=10, starts_at=timezone.now() + timedelta(seconds=90))
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_what_only_a_top_up_has_room_for_will_not_fit_next_month(self, alice: Customer) -> None:
        TokenTopUp.objects.create(account=alice.user, tokens=50)
        Feature.objects.filter(code="trace_start").update(tokens=101)
        assert alice.api.get("/api/v1/trace/start").status_code == 200
        response = alice.api.get("/api/v1/trace/start")
        assert (response.status_code, response.json()["retry_after"]) == (429, None)
        assert "Retry-After" not in response
        assert alice.post("/api/v1/usage/check", {"feature": "trace_start"}).json()["retry_after"] is None

    def test_where_neither_wait_helps_the_quota_is_told(self, alice: Customer) -> None:
        limit(alice, "minute", 0)
        limit(alice, "quota", 0)
        body = problem(alice.api.get("/api/v1/trace/start"), 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert (body["violated-policies"], body["retry_after"]) == (["minute", "quota"], None)

    def test_of_check(self, alice: Customer, clock: Any) -> None:
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        answer = alice.post("/api/v1/usage/check", {"feature": "risk_score"}).json()
        assert (answer["code"], answer["retry_after"]) == ("quota_exceeded", TO_APRIL)


class TestCapability:
    @pytest.mark.parametrize(
        ("path", "feature", "capability", "suggested"),
        [
            ("graph/nodes", "graph_query", "investigator", "starter"),
            ("patterns/detect", "pattern_detection", "correlation", "pro"),
            ("agent/query", "ai_agent_query", "ai_agents", "business"),
        ],
    )
    def test_what_the_caller_is_told(
        self, alice: Customer, path: str, feature: str, capability: str, suggested: str
    ) -> None:
        for response in (
            alice.api.get(f"/api/v1/{path}"),
            alice.post("/api/v1/usage/track", {"feature": feature}),
        ):
            body = problem(response, 403, "feature_not_in_plan", WAY_UP | {"feature", "capability"})
            assert {name: body[name] for name in body if name not in PROBLEM} == {
                "feature": feature,
                "capability": capability,
                "current_plan": "community",
                "suggested_plan": suggested,
                "upgrade_url": "/dashboard/",
            }
            assert left(response) == {"minute": 10, "quota": 100}
            assert "Retry-After" not in response

    def test_a_suggested_plan_also_has_room_for_the_call(self, alice: Customer) -> None:
        Feature.objects.filter(code="graph_query").update(tokens=501)
        assert alice.api.get("/api/v1/graph/nodes").json()["suggested_plan"] == "pro"

    def test_the_capability_is_asked_before_any_limit(self, alice: Customer) -> None:
        for _ in range(11):
            alice.api.get("/api/v1/trace/start")
        assert alice.api.get("/api/v1/graph/nodes").status_code == 403


class TestCaller:
    @pytest.mark.parametrize("path", ["/api/v1/trace/start", "/api/v1/usage/current", "/api/v1/usage/track"])
    def test_without_credentials(self, catalogue: None, path: str) -> None:
        response = Client().get(path)
        problem(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"] == "Bearer"

    def test_csrf_is_asked_before_anything_is_charged(self, bob: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(bob.user)
        for path in ("/api/v1/trace/start", "/api/v1/usage/track"):
            response = client.post(path, {"feature": "trace_start"}, "application/json")
            problem(response, 403, "csrf_failed")
            assert not has_rate_headers(response)
        assert left(bob.api.get("/api/v1/usage/current")) == {"minute": 29, "quota": 500}


class TestRequests:
    def test_what_is_not_there(self, bob: Customer) -> None:
        for path in ("nothing", "plans/nope", "usage", "usage/events/nope", "trace", "trace/starter"):
            problem(bob.api.get(f"/api/v1/{path}"), 404, "not_found")
        problem(Client().get("/api/v1/nothing"), 404, "not_found")
        problem(Client().get("/api/v2/nothing"), 404, "not_found")

    def test_methods(self, bob: Customer) -> None:
        for method, path in (("PUT", "usage/current"), ("GET", "usage/track"), ("DELETE", "plans")):
            response = bob.api.generic(method, f"/api/v1/{path}")
            problem(response, 405, "method_not_allowed")
            assert response["Allow"]

    def test_media_types(self, bob: Customer) -> None:
        problem(bob.api.get("/api/v1/plans", headers={"accept": "image/png"}), 406, "not_acceptable")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense"):
            response = bob.api.post("/api/v1/usage/track", '{"feature": "trace_start"}', content_type=kind)
            problem(response, 415, "unsupported_media_type")
        assert left(bob.api.get("/api/v1/usage/current"))["quota"] == 500

    @pytest.mark.parametrize("boundary", ["a", "", "\x7f"])
    def test_a_form_is_no_json_however_it_was_read_before(self, bob: Customer, boundary: str) -> None:
        kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"
        browser = Client(headers={"X-CSRFToken": "t" * 32}, enforce_csrf_checks=True)
        browser.force_login(bob.user)
        browser.cookies["csrftoken"] = "t" * 32
        form = b"--a\r\nContent-Disposition: form-data; name=b\r\n\r\n1\r\n--a--\r\n"
        for client in (bob.api, browser) if boundary == "a" else (bob.api,):
            for path in ("trace/start", "usage/track", "usage/check"):
                for headers in ({}, {"Idempotency-Key": "k"}):
                    response = client.generic("POST", f"/api/v1/{path}", form, content_type=kind, headers=headers)
                    problem(response, 415, "unsupported_media_type")
        assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == 0

    @pytest.mark.parametrize(("size", "status"), [(999_999, 400), (1_000_000, 400), (1_000_001, 413)])
    def test_size(self, bob: Customer, size: int, status: int) -> None:
        body = '{"feature": "%s"}' % ("x" * (size - 15))
        assert len(body) == size
        for path in ("track", "check"):
            response = bob.api.post(f"/api/v1/usage/{path}", body, content_type="application/json")
            if status == 413:
                problem(response, 413, "too_large")
            else:
                problem(response, 400, "invalid", {"errors"})

    BAD_JSON = {
        "cut off": b'{"feature": "trace_start"',
        "not JSON": b"feature=trace_start",
        "NaN": b'{"feature": "trace_start", "metadata": {"a": NaN}}',
        "infinity": b'{"feature": "trace_start", "metadata": {"a": -Infinity}}',
        "beyond a double": b'{"feature": "trace_start", "metadata": {"a": 1e400}}',
        "more digits than Python reads": b'{"feature": "trace_start", "metadata": {"a": %s}}' % (b"9" * 5000),
        "deep": b'{"feature": "trace_start", "metadata": %s{}%s}' % (b'{"a":' * 300, b"}" * 300),
        "deeper than Python reads": b"[" * 100_000,
        "half a surrogate pair": rb'{"feature": "trace_start", "metadata": {"a": "\ud800"}}',
        "half a pair in a name": rb'{"\udfff": 1}',
        "not UTF-8": b'{"feature": "trace_start", "metadata": {"a": "\xe9"}}',
        "UTF-16": '{"feature": "trace_start"}'.encode("utf-16"),
    }

    @pytest.mark.parametrize("name", BAD_JSON)
    @pytest.mark.parametrize("path", ["usage/track", "usage/check", "trace/start"])
    def test_what_is_not_json_within_bounds(self, bob: Customer, path: str, name: str) -> None:
        for kind in ("application/json", "application/json; charset=latin-1", "application/*"):
            response = bob.api.generic("POST", f"/api/v1/{path}", self.BAD_JSON[name], content_type=kind)
            body = problem(response, 400, "invalid", {"errors"})
            assert list(body["errors"]) == ["non_field_errors"]
            assert left(response)["quota"] == 500

    BAD_TRACK = {
        "an array": ("[]", "non_field_errors"),
        "a text": ('"trace_start"', "non_field_errors"),
        "null": ("null", "non_field_errors"),
        "a number": ("1", "non_field_errors"),
        "nothing": ("", "feature"),
        "an empty object": ("{}", "feature"),
        "another type": ('{"feature": {"a": 1}}', "feature"),
        "a list": ('{"feature": ["trace_start"]}', "feature"),
        "true": ('{"feature": true}', "feature"),
        "null inside": ('{"feature": null}', "feature"),
        "blank": ('{"feature": " "}', "feature"),
        "NUL": (r'{"feature": "trace_start\u0000"}', "feature"),
        "unknown": ('{"feature": "nope"}', "feature"),
        "too long": ('{"feature": "%s"}' % ("x" * 51), "feature"),
    }

    @pytest.mark.parametrize("name", BAD_TRACK)
    @pytest.mark.parametrize("path", ["track", "check"])
    def test_what_is_not_the_right_json(self, bob: Customer, path: str, name: str) -> None:
        text, field = self.BAD_TRACK[name]
        response = bob.api.generic("POST", f"/api/v1/usage/{path}", text, content_type="application/json")
        assert list(problem(response, 400, "invalid", {"errors"})["errors"]) == [field]
        assert left(response) == {"minute": 29, "quota": 500}

    def test_unknown_fields_are_named(self, bob: Customer) -> None:
        response = bob.post("/api/v1/usage/track", {"feature": "trace_start", "zeta": 1, "\x00": 2, "alpha": 3})
        assert sorted(problem(response, 400, "invalid", {"errors"})["errors"]) == ["\x00", "alpha", "zeta"]
        response = bob.api.get("/api/v1/usage/current?x=1&y=%00")
        assert sorted(problem(response, 400, "invalid", {"errors"})["errors"]) == ["x", "y"]

    def test_a_charset_changes_nothing(self, bob: Customer) -> None:
        for kind in ("application/json; charset=utf-16", "Application/JSON", "application/*", "*/*"):
            response = bob.api.generic("POST", "/api/v1/usage/track", '{"feature": "risk_score"}', content_type=kind)
            assert response.status_code == 200, kind
            assert response["X-Usage-Cost"] == "2"

    def test_an_internal_error_shows_no_trace(self, bob: Customer) -> None:
        body = problem(bob.api.get("/api/v1/trace/start?fail=exception"), 500, "internal_error")
        assert "SandboxFailure" not in str(body) and "Traceback" not in str(body)


class TestPages:
    """A browser on the browsable API sees HTML."""

    def test_every_refusal_is_a_page(self, alice: Customer) -> None:
        browser = Client(headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert b"<h1" in self.page(browser.get("/api/v1/usage/current"), 401)
        browser.force_login(alice.user)
        assert b"usage" in self.page(browser.get("/api/v1/usage/current"), 200)
        self.page(browser.get("/api/v1/graph/nodes"), 403)
        self.page(browser.get("/api/v1/nothing"), 404)
        for _ in range(10):
            browser.get("/api/v1/usage/current")
        assert b"Rate limit exceeded. Limit: 10 requests/minute" in self.page(browser.get("/api/v1/usage/current"), 429)

    def page(self, response: Any, status: int) -> bytes:
        assert (response.status_code, response["Content-Type"]) == (status, "text/html; charset=utf-8")
        return bytes(response.content)
