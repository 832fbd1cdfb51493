"""The path of a request: what is counted, charged and given back, and how many commands that takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Feature, Route
from tests.cast import Customer
from tests.contract import has_rate_headers, left, policies, problem, standings
from tests.redis_commands import redis_commands

pytestmark = pytest.mark.django_db

Call = Callable[[Customer], Any]
WARM_CALLS: dict[str, Call] = {
    "a metered GET": lambda customer: customer.api.get("/api/v1/trace/start"),
    "a metered POST": lambda customer: customer.post("/api/v1/trace/start", {"a": 1}),
    "a metered POST under a key": lambda customer: customer.post(
        "/api/v1/risk/score", {"a": 1}, **{"Idempotency-Key": "k"}
    ),
    "track": lambda customer: customer.post("/api/v1/usage/track", {"feature": "trace_start", "metadata": {"a": 1}}),
    "check": lambda customer: customer.post("/api/v1/usage/check", {"feature": "trace_start"}),
    "current": lambda customer: customer.api.get("/api/v1/usage/current"),
    "a refusal by the plan": lambda customer: customer.api.get("/api/v1/agent/query"),
}
FAILING_CALLS: dict[str, Call] = {
    "a status of 400": lambda customer: customer.api.get("/api/v1/trace/start?fail=400"),
    "a status of 500": lambda customer: customer.post("/api/v1/trace/start", {"fail": 500}),
    "an exception": lambda customer: customer.api.get("/api/v1/trace/start?fail=exception"),
    "an exception under a key": lambda customer: customer.api.get(
        "/api/v1/trace/start?fail=exception", headers={"Idempotency-Key": "k"}
    ),
}


def used(customer: Customer) -> int:
    return int(customer.api.get("/api/v1/usage/current").json()["tokens_used"])


@pytest.mark.parametrize("name", WARM_CALLS)
def test_a_warm_call_is_one_redis_command_and_no_query(bob: Customer, name: str) -> None:
    WARM_CALLS[name](bob)
    with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
        response = WARM_CALLS[name](bob)
    assert response.status_code in (200, 403)
    assert (commands, len(queries)) == (["EVALSHA"], 0)


@pytest.mark.parametrize("name", FAILING_CALLS)
def test_a_failing_call_is_one_redis_command_more_and_no_query(bob: Customer, name: str) -> None:
    FAILING_CALLS[name](bob)
    with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
        response = FAILING_CALLS[name](bob)
    assert response.status_code in (400, 500)
    assert (commands, len(queries)) == (["EVALSHA", "EVALSHA"], 0)


@pytest.mark.parametrize("name", FAILING_CALLS)
def test_a_failing_call_gives_the_tokens_back_but_not_the_minute(bob: Customer, name: str) -> None:
    bob.api.get("/api/v1/trace/start")
    response = FAILING_CALLS[name](bob)
    assert left(response) == {"minute": 28, "quota": 490}
    assert response["X-Usage-Cost"] == "0"
    assert len(response["X-Usage-Event"]) == 36
    assert used(bob) == 10


def test_a_metered_call_shows_its_cost_its_event_and_what_is_left(bob: Customer) -> None:
    response = bob.api.get("/api/v1/graph/nodes")
    assert response.status_code == 200
    assert policies(response) == {"minute": (30, 60), "quota": (500, pytest.approx(30 * 86400, abs=2 * 86400))}
    assert left(response) == {"minute": 29, "quota": 497}
    assert standings(response)["minute"][1] == 60
    assert 0 < standings(response)["quota"][1] <= 31 * 86400
    assert (response["X-RateLimit-Limit"], response["X-RateLimit-Remaining"]) == ("30", "29")
    assert response["X-Usage-Cost"] == "3"
    assert response["Cache-Control"] == "no-store"


def test_an_unmetered_call_shows_no_usage(bob: Customer) -> None:
    response = bob.api.get("/api/v1/usage/current")
    assert "X-Usage-Cost" not in response and "X-Usage-Event" not in response
    assert left(response) == {"minute": 29, "quota": 500}


def test_unlimited_policies_are_left_out(carol: Customer, erin: Customer) -> None:
    assert left(carol.api.get("/api/v1/trace/start")) == {"minute": 99}
    response = erin.api.get("/api/v1/trace/start")
    assert not has_rate_headers(response)
    assert (response["X-Usage-Cost"], response["Cache-Control"]) == ("10", "no-store")


@pytest.mark.parametrize(
    ("status", "call"),
    [
        (400, lambda bob: bob.api.get("/api/v1/usage/current?x=1")),
        (400, lambda bob: bob.post("/api/v1/usage/track", {"feature": "nope"})),
        (400, lambda bob: bob.api.get("/api/v1/trace/start", headers={"Idempotency-Key": "é"})),
        (403, lambda bob: bob.api.get("/api/v1/agent/query")),
        (404, lambda bob: bob.api.get("/api/v1/nothing/here")),
        (404, lambda bob: bob.api.get("/api/v1/plans/nope")),
        (404, lambda bob: bob.api.get("/api/v1/x")),
        (405, lambda bob: bob.api.put("/api/v1/usage/current")),
        (406, lambda bob: bob.api.get("/api/v1/usage/current", headers={"accept": "image/png"})),
        (413, lambda bob: bob.post("/api/v1/usage/check", {"feature": "x" * 1_000_001})),
        (415, lambda bob: bob.api.post("/api/v1/usage/check", "a=1", content_type="text/plain")),
        (500, lambda bob: bob.api.get("/api/v1/trace/start?fail=exception")),
    ],
)
def test_every_response_to_an_identified_caller_has_the_headers(bob: Customer, status: int, call: Call) -> None:
    response = call(bob)
    assert response.status_code == status
    assert policies(response)["minute"] == (30, 60)
    assert response["Cache-Control"] == "no-store"


def test_a_refused_call_has_the_headers_and_no_event(alice: Customer) -> None:
    for _ in range(10):
        alice.api.get("/api/v1/usage/current")
    response = alice.api.get("/api/v1/trace/start")
    assert response.status_code == 429
    assert left(response) == {"minute": 0, "quota": 100}
    assert response["X-Usage-Cost"] == "0"
    assert "X-Usage-Event" not in response


@pytest.mark.parametrize("path", ["/api/v1/trace/start", "/api/v1/usage/current", "/api/v1/nothing", "/api/v1/plans"])
def test_there_are_no_headers_before_authentication(catalogue: None, path: str) -> None:
    for client in (Client(), Client(headers={"authorization": "Bearer nonsense"})):
        response = client.get(path)
        assert not has_rate_headers(response)
        assert "X-Usage-Cost" not in response


def test_errors_of_a_view_count_one_of_the_minute(alice: Customer) -> None:
    for expected in range(9, -1, -1):
        response = alice.api.get("/api/v1/nothing/here")
        assert (response.status_code, left(response)["minute"]) == (404, expected)
    problem_at_eleven = alice.api.get("/api/v1/nothing/here")
    assert problem_at_eleven.status_code == 429


def test_refusals_consume_nothing(alice: Customer) -> None:
    for _ in range(3):
        assert alice.api.get("/api/v1/graph/nodes").status_code == 403
    assert left(alice.api.get("/api/v1/usage/current")) == {"minute": 9, "quota": 100}
    for _ in range(9):
        alice.api.get("/api/v1/usage/current")
    for _ in range(3):
        response = alice.api.get("/api/v1/trace/start")
        assert (response.status_code, left(response)) == (429, {"minute": 0, "quota": 100})


def test_a_customer_with_a_key_on_a_public_endpoint_is_counted(alice: Customer) -> None:
    assert left(alice.api.get("/api/v1/plans")) == {"minute": 9, "quota": 100}
    assert left(alice.api.get("/api/v1/features")) == {"minute": 8, "quota": 100}


class TestMethods:
    def test_head_is_charged_like_get(self, bob: Customer) -> None:
        response = bob.api.head("/api/v1/trace/start")
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "10")
        assert left(response)["quota"] == 490

    def test_options_is_not_metered_but_counts_one_of_the_minute(self, bob: Customer) -> None:
        response = bob.api.options("/api/v1/trace/start")
        assert response.status_code == 200
        assert left(response) == {"minute": 29, "quota": 500}
        assert "X-Usage-Cost" not in response

    def test_options_needs_the_plans_capability_no_more_than_tokens(self, alice: Customer) -> None:
        assert alice.api.options("/api/v1/graph/nodes").status_code == 200

    @pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "FROB"])
    def test_a_method_the_view_lacks_costs_nothing(self, bob: Customer, method: str) -> None:
        problem(bob.api.generic(method, "/api/v1/trace/start"), 405, "method_not_allowed")
        assert used(bob) == 0

    def test_an_override_of_the_method_changes_nothing(self, bob: Customer) -> None:
        for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
            response = bob.post("/api/v1/trace/start", {}, **{name: "OPTIONS"})
            assert (response.status_code, response["X-Usage-Cost"]) == (200, "10")
        response = bob.post("/api/v1/trace/start?_method=OPTIONS", {"_method": "OPTIONS"})
        assert response["X-Usage-Cost"] == "10"
        assert used(bob) == 40


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/trace/start",
            "/api/v1/trace/start/",
            "/api/v1/trace/start//",
            "/api/v1/trace/start/7",
            "/api/v1/trace/%73tart",
            "/api/v1/trace%2fstart",
            "/api%2Fv1%2Ftrace%2Fstart",
            "/api/v1/trace/start/../../plans",
            "/api/v1/trace/start/..%2f..",
            "/api/v1/trace/start?x=/api/v1/plans",
        ],
    )
    def test_a_spelling_that_reaches_the_feature_is_charged(self, bob: Customer, path: str) -> None:
        response = bob.api.get(path)
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "10")

    @pytest.mark.parametrize(
        "path",
        [
            "//api/v1/trace/start",
            "/api//v1/trace/start",
            "/api/v1//trace/start",
            "/api/v1/trace//start",
            "/api/v1/./trace/start",
            "/api/v1/risk/../trace/start",
            "/api/v1/TRACE/start",
            "/API/V1/trace/start",
            "/api/v1/trace/start;x=1",
            "/api/v1/trace;/start",
            "/api/v1/trace/starter",
            "/api/v1/trace/start%0a",
            "/api/v1/trace/start%20",
            "/api/v1/trace/start%00",
            "/api/v1/trace/%C5%BFtart",
            "/api/v1/trace/start%252f",
            "/api/v1/trace\\start",
        ],
    )
    def test_any_other_spelling_reaches_no_feature_and_costs_nothing(self, bob: Customer, path: str) -> None:
        response = bob.api.get(path)
        assert response.status_code == 404
        assert response.get("X-Usage-Cost", "0") == "0"
        assert used(bob) == 0

    def test_the_longest_route_on_segment_boundaries_wins(self, bob: Customer) -> None:
        Route.objects.create(path="/api/v1/trace/start/deep", feature=Feature.objects.get(code="risk_score"))
        Route.objects.create(path="/api/v1/trace", feature=Feature.objects.get(code="report_generate"))
        costs = {
            path: bob.api.get(f"/api/v1/trace/{path}")["X-Usage-Cost"]
            for path in ("start", "start/7", "start/deep", "start/deep/er", "start/deeper")
        }
        assert costs == {"start": "10", "start/7": "10", "start/deep": "2", "start/deep/er": "2", "start/deeper": "10"}

    def test_a_route_may_be_for_one_method(self, bob: Customer) -> None:
        Route.objects.create(path="/api/v1/trace/start", method="POST", feature=Feature.objects.get(code="risk_score"))
        assert bob.api.get("/api/v1/trace/start")["X-Usage-Cost"] == "10"
        assert bob.post("/api/v1/trace/start", {})["X-Usage-Cost"] == "2"
        Route.objects.filter(path="/api/v1/trace/start", method="").update(method="GET")
        assert bob.api.head("/api/v1/trace/start")["X-Usage-Cost"] == "10"

    def test_every_path_of_the_api_answers_with_a_trailing_slash_for_every_method(self, bob: Customer) -> None:
        assert bob.api.get("/api/v1/usage/current/").status_code == 200
        assert bob.api.head("/api/v1/usage/breakdown/").status_code == 200
        assert bob.post("/api/v1/usage/track/", {"feature": "risk_score"}).status_code == 200
        assert bob.api.get("/api/v1/plans/").status_code == 200
        assert bob.api.get("/api/v1/plans/pro/").status_code == 200


def test_the_gateway_is_the_first_middleware_that_can_answer() -> None:
    assert settings.MIDDLEWARE[1] == "billing_site.gateway.Gateway"
