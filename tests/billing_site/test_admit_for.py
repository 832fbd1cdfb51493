"""A door that describes another request than its own, as a proxy's question does: one admission, the same refusals."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Feature, Route
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import MINUTE_MEMBERS, PROBLEM, QUOTA_MEMBERS, has_rate_headers, left, problem
from tests.redis_commands import redis_commands

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def host(db: None, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.host_urls"


def ask(client: Client, path: str, method: str = "GET", **query: Any) -> Any:
    return client.get("/host/door?" + urlencode({"method": method, "path": path, **query}))


@pytest.mark.parametrize(
    ("method", "path", "cost"),
    [
        ("GET", "/api/v1/trace/start", 10),
        ("HEAD", "/api/v1/trace/start/7", 10),
        ("POST", "//API/v1/Trace/start/", 10),
        ("GET", "/api/v1/trace/starter", 0),
        ("OPTIONS", "/api/v1/trace/start", 0),
        ("POST", "/api/v1/usage/track", 0),
        ("GET", "/elsewhere", 0),
        ("GET", "", 0),
    ],
)
def test_the_feature_is_that_of_the_described_request(bob: Customer, method: str, path: str, cost: int) -> None:
    response = ask(bob.api, path, method)
    assert response.status_code == 204
    assert left(response) == {"minute": 29, "quota": 500 - cost}
    assert response.get("X-Usage-Cost") == (str(cost) if cost else None)
    assert used(bob) == cost


def test_a_route_of_one_method_is_asked_for_by_the_described_one(bob: Customer) -> None:
    Route.objects.create(path="/elsewhere", method="DELETE", feature=Feature.objects.create(code="host", tokens=3))
    assert "X-Usage-Cost" not in ask(bob.api, "/elsewhere", "GET")
    assert ask(bob.api, "/elsewhere", "DELETE")["X-Usage-Cost"] == "3"


def test_a_warm_question_is_one_redis_command_and_no_query(bob: Customer) -> None:
    ask(bob.api, "/api/v1/trace/start")
    with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
        assert ask(bob.api, "/api/v1/trace/start")["X-Usage-Cost"] == "10"
    assert (commands, len(queries)) == (["EVALSHA"], 0)


def test_it_is_refused_as_the_gateway_refuses(alice: Customer) -> None:
    lacking = ask(alice.api, "/api/v1/agent/query")
    members = {"feature", "capability", "current_plan", "suggested_plan", "upgrade_url"}
    assert problem(lacking, 403, "feature_not_in_plan", members)["feature"] == "ai_agent_query"
    for _ in range(10):
        assert ask(alice.api, "/api/v1/trace/start").status_code == 204
    problem(ask(alice.api, "/api/v1/trace/start"), 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
    refused = ask(alice.api, "/elsewhere")
    problem(refused, 429, "rate_limited", MINUTE_MEMBERS - PROBLEM)
    assert int(refused["Retry-After"]) > 0


def test_who_asks_is_identified_by_the_doors_own_request(bob: Customer) -> None:
    for headers in ({}, {"authorization": "Bearer made.up"}, {"authorization": "Basic x"}):
        response = ask(Client(headers=headers), "/api/v1/plans")
        problem(response, 401, "not_authenticated")
        assert not has_rate_headers(response)
    browser = Client()
    browser.force_login(bob.user)
    assert ask(browser, "/api/v1/trace/start")["X-Usage-Cost"] == "10"


@pytest.mark.parametrize(("status", "cost"), [(200, 10), (399, 10), (400, 0), (502, 0)])
def test_the_doors_response_settles_the_charge(bob: Customer, status: int, cost: int) -> None:
    response = ask(bob.api, "/api/v1/trace/start", status=status)
    assert (response["X-Usage-Cost"], used(bob)) == (str(cost), cost)


def test_an_idempotency_key_does_not_make_two_described_requests_one(bob: Customer) -> None:
    keyed = Client(headers={"authorization": f"Bearer {bob.key}", "Idempotency-Key": "k"})
    costs = [ask(keyed, f"/api/v1/{path}")["X-Usage-Cost"] for path in ("risk/score", "risk/score", "trace/start")]
    assert costs == ["2", "2", "10"]


class TestWhatViewsDeclare:
    def test_an_ungated_view_is_reached_by_anybody(self) -> None:
        assert Client().get("/host/door?method=GET&path=/").status_code == 401, "by admit_for, which the view calls"
        assert Client().get("/health").status_code == 200

    def test_a_hosts_own_attribute_of_that_name_opens_nothing(self, bob: Customer) -> None:
        Route.objects.create(path="/host/namesake", feature=Feature.objects.create(code="host", tokens=3))
        problem(Client().get("/api/v1/host/namesake"), 401, "not_authenticated")
        assert bob.api.get("/host/namesake")["X-Usage-Cost"] == "3"
        problem(Client().get("/host/namesake"), 401, "not_authenticated")

    def test_what_is_public_is_not_on_a_metered_path(self, bob: Customer) -> None:
        assert Client().get("/api/v1/host/open").status_code == 204
        Route.objects.create(path="/api/v1/host/open", feature=Feature.objects.get(code="trace_start"))
        bob.api.get("/api/v1/usage/current")
        problem(Client().get("/api/v1/host/open"), 401, "not_authenticated")
