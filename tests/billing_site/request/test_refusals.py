"""Every row of the table of errors: status, code, members, headers; and what a refusal costs, which is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from billing.models import Feature, LimitOverride, Plan
from ratelimit import process_state
from tests.cast import Customer
from tests.clock import moved_by_hand
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
            "overage": None,
            "cost": 5,
            "resets_at": "2031-04-01T00:00:00Z",
            "retry_after": TO_APRIL,
            "current_plan": "community",
            "suggested_plan": "starter",
            "upgrade_url": "/dashboard/",
        }
        assert ("Retry-After" in response, response["X-Should-Retry"]) == (False, "false")
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

        process_state.start_anew()
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
        assert "Retry-After" not in response
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


class TestLongWaits:
    """Common clients sleep as long as Retry-After says: a wait above RETRY_AFTER_MOST is in the body alone."""

    @pytest.mark.parametrize(("most", "sent"), [(TO_APRIL - 1, False), (TO_APRIL, True), (TO_APRIL + 1, True)])
    def test_the_header_is_sent_up_to_the_bound(self, alice: Customer, settings: Any, most: int, sent: bool) -> None:
        settings.RETRY_AFTER_MOST = most
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=10)
        alice.api.get("/api/v1/trace/start")
        response = alice.api.get("/api/v1/trace/start")
        assert response.json()["retry_after"] == TO_APRIL
        assert response.get("Retry-After") == (str(TO_APRIL) if sent else None)
        assert response.get("X-Should-Retry") == (None if sent else "false")

    def test_an_hour_by_default(self, settings: Any) -> None:
        assert settings.RETRY_AFTER_MOST == 3600

    def test_a_wait_in_vain_is_not_to_be_tried_again_either(self, alice: Customer) -> None:
        LimitOverride.objects.create(account=alice.user, limit="minute", maximum=0)
        response = alice.api.get("/api/v1/usage/current")
        assert (response.status_code, response["X-Should-Retry"]) == (429, "false")

    def test_other_refusals_say_nothing_of_it(self, alice: Customer) -> None:
        response = alice.api.get("/api/v1/agent/query")
        assert (response.status_code, "X-Should-Retry" in response) == (403, False)
