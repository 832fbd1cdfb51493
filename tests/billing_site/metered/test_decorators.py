"""A decorated view is charged wherever it is mounted, as a routed path is; where its decorator is hidden it is shut."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from billing.models import Feature, Route
from billing_site.metered import metered
from billing_site.metered.checks import check_metered_views
from ratelimit import process_state
from tests.billing_site.metered import views
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import PROBLEM, QUOTA_MEMBERS, WAY_UP, left, problem
from tests.redis_commands import redis_commands

pytestmark = pytest.mark.django_db
LACKING = PROBLEM | WAY_UP | {"feature", "capability"}
KINDS = (
    *("plain", "exempt", "members", "later", "class", "method-decorator", "heir", "async-class", "rest"),
    *("rest-by-method", "in-the-urls", "function-of-rest", "items"),
)


@pytest.fixture(autouse=True)
def host(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.billing_site.metered.views"
    views.runs.clear()
    yield


@pytest.mark.parametrize("kind", KINDS)
class TestEveryKindOfView:
    def test_is_charged(self, bob: Customer, kind: str) -> None:
        response = bob.api.get(f"/own/{kind}")
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "2"), response.content
        assert left(response) == {"minute": 29, "quota": 498}
        assert len(views.runs) == 1

    def test_is_one_redis_command_and_no_query_for_it(self, bob: Customer, kind: str) -> None:
        bob.api.get(f"/own/{kind}")
        with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
            assert bob.api.get(f"/own/{kind}").status_code == 200
        assert commands == ["EVALSHA"]
        assert [query["sql"] for query in queries if "auth_user" not in query["sql"]] == []

    def test_is_not_reached_without_credentials(self, bob: Customer, kind: str) -> None:
        problem(Client().get(f"/own/{kind}"), 401, "not_authenticated")
        problem(Client(headers={"authorization": "Bearer nobody"}).get(f"/own/{kind}"), 401, "not_authenticated")
        assert views.runs == []

    def test_is_refused_above_the_quota(self, alice: Customer, kind: str) -> None:
        Feature.objects.filter(code="risk_score").update(tokens=101)
        response = alice.api.get(f"/own/{kind}")
        if kind == "items":
            problem(response, 403, "feature_not_in_plan", LACKING)
        else:
            problem(response, 429, "quota_exceeded", QUOTA_MEMBERS)
        assert views.runs == []

    def test_head_is_charged_as_get_and_options_is_not_and_runs_nothing(self, bob: Customer, kind: str) -> None:
        response = bob.api.options(f"/own/{kind}")
        assert (response.status_code in (200, 204), response.get("X-Usage-Cost"), views.runs) == (True, None, [])
        assert bob.api.head(f"/own/{kind}")["X-Usage-Cost"] == ("0" if kind == "function-of-rest" else "2")  # it is 405


@pytest.mark.parametrize("kind", ["plain", "later", "class", "members"])
def test_a_failure_is_given_back(bob: Customer, kind: str) -> None:
    response = bob.api.get(f"/own/{kind}?status=503" if kind != "class" else "/own/class?status=400")
    assert (response["X-Usage-Cost"], left(response)) == ("0", {"minute": 29, "quota": 500})
    assert used(bob) == 0


def test_it_finds_its_caller(bob: Customer) -> None:
    assert [bob.api.get(f"/own/{kind}").json() for kind in ("plain", "later", "rest")] == [{"user": "bob"}] * 3


def test_an_heir_may_cost_another_thing(bob: Customer) -> None:
    assert [bob.api.get(f"/own/{kind}")["X-Usage-Cost"] for kind in ("heir", "dear-heir")] == ["2", "7"]
    assert bob.post("/own/heir", {})["X-Usage-Cost"] == "2"


def test_the_declaration_nearest_to_the_url_or_the_method_counts(bob: Customer) -> None:
    assert bob.api.get("/own/dear-in-the-urls")["X-Usage-Cost"] == "7"
    assert [
        bob.api.get("/own/dear-but-for-post")["X-Usage-Cost"],
        bob.post("/own/dear-but-for-post", {})["X-Usage-Cost"],
    ] == ["7", "2"]
    assert len(views.runs) == 3


def test_each_method_of_a_class_costs_its_own(bob: Customer) -> None:
    responses = (
        bob.api.get("/own/items"),
        bob.post("/own/items", {}),
        bob.api.get("/own/items/digest"),
        bob.api.get("/own/items/7"),
        bob.api.delete("/own/items"),
    )
    assert [response.status_code for response in responses] == [200, 201, 200, 200, 405]
    assert [response.get("X-Usage-Cost") for response in responses] == ["2", "7", "5", None, None]


def test_a_method_without_a_price_is_not_the_gateways_business(bob: Customer) -> None:
    response = Client().post("/own/rest-by-method", {})
    assert (response.status_code, "RateLimit" in response) == (200, False)


def test_a_public_view_is_shut_where_it_is_metered(bob: Customer) -> None:
    assert Client().get("/own/public").status_code == 200
    problem(Client().post("/own/public", {}), 401, "not_authenticated")
    assert bob.post("/own/public", {})["X-Usage-Cost"] == "2"


def test_a_route_for_its_path_goes_first(bob: Customer) -> None:
    Route.objects.create(path="/own/plain", feature=Feature.objects.create(code="host", tokens=3))
    bob.api.get("/api/v1/usage/current")
    assert bob.api.get("/own/plain")["X-Usage-Cost"] == "3"
    Route.objects.filter(path="/own/plain").delete()
    process_state.start_anew()
    assert bob.api.get("/own/plain")["X-Usage-Cost"] == "2"


def test_below_the_api_it_is_charged_as_elsewhere(bob: Customer) -> None:
    assert bob.api.get("/api/v1/own/plain")["X-Usage-Cost"] == "2"


def test_an_idempotency_key_gives_its_answer_again(bob: Customer) -> None:
    first, again = (bob.post("/own/plain", {}, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert (first.content, again["Idempotency-Replayed"], used(bob)) == (again.content, "true", 2)


def test_a_session_needs_its_csrf_token(bob: Customer) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob.user)
    for kind in ("plain", "exempt"):
        problem(client.post(f"/own/{kind}", {}), 403, "csrf_failed")
    assert client.get("/own/plain")["X-Usage-Cost"] == "2"


class TestRequires:
    def test_a_plan_without_it_gets_403(self, alice: Customer) -> None:
        body = problem(alice.api.get("/own/investigators"), 403, "feature_not_in_plan", LACKING)
        assert (body["feature"], body["capability"]) == (None, "investigator")
        assert (body["current_plan"], body["suggested_plan"]) == ("community", "starter")
        assert body["detail"] == "The Community plan does not include investigator. Upgrade to use it."
        assert (views.runs, left(alice.api.get("/api/v1/usage/current"))["minute"]) == ([], 9)

    def test_a_plan_with_it_spends_a_request_of_the_minute(self, bob: Customer) -> None:
        response = bob.api.get("/own/investigators")
        assert (response.status_code, response.get("X-Usage-Cost")) == (200, None)
        assert left(response) == {"minute": 29, "quota": 500}

    def test_nobody_comes_in_without_credentials(self, bob: Customer) -> None:
        problem(Client().get("/own/investigators"), 401, "not_authenticated")

    def test_all_that_are_named_are_needed(self, alice: Customer, bob: Customer, dave: Customer) -> None:
        lacks = [problem(who.api.get("/own/both"), 403, "feature_not_in_plan", LACKING) for who in (alice, bob)]
        assert [(body["feature"], body["suggested_plan"]) for body in lacks] == [("risk_score", "business")] * 2
        assert [body["capability"] for body in lacks] == ["investigator", "ai_agents"]
        assert dave.api.get("/own/both")["X-Usage-Cost"] == "2"

    def test_it_is_needed_beside_the_features_own(self, bob: Customer, carol: Customer) -> None:
        body = problem(bob.api.get("/own/beside"), 403, "feature_not_in_plan", LACKING)
        assert (body["feature"], body["capability"]) == ("graph_query", "correlation")
        assert carol.api.get("/own/beside")["X-Usage-Cost"] == "3"

    def test_a_route_for_its_path_takes_nothing_of_it_away(self, alice: Customer, bob: Customer) -> None:
        Route.objects.create(path="/own/investigators", feature=Feature.objects.create(code="host", tokens=3))
        alice.api.get("/api/v1/usage/current")
        body = problem(alice.api.get("/own/investigators"), 403, "feature_not_in_plan", LACKING)
        assert (body["feature"], body["capability"]) == ("host", "investigator")
        assert bob.api.get("/own/investigators")["X-Usage-Cost"] == "3"

    @pytest.mark.parametrize("kind", ["investigators", "both", "items"])
    def test_options_needs_it_too(self, alice: Customer, kind: str) -> None:
        assert problem(alice.api.options(f"/own/{kind}"), 403, "feature_not_in_plan", LACKING)["feature"] is None
        assert views.runs == []

    def test_options_is_answered_without_running_a_function(self, bob: Customer) -> None:
        response = bob.api.options("/own/investigators")
        assert (response.status_code, response.content, left(response)["minute"], views.runs) == (204, b"", 29, [])

    def test_an_upgrade_opens_it_at_once(self, alice: Customer) -> None:
        assert alice.api.get("/own/investigators").status_code == 403
        assert alice.post("/api/v1/billing/upgrade", {"target_plan": "starter"}).status_code == 200
        process_state.start_anew()  # nothing is pushed in a test's transaction
        assert alice.api.get("/own/investigators").status_code == 200


HIDDEN = ("hidden", "half-hidden", "hidden-later", "hidden-class", "hidden-async-class", "within-api-view")


class TestHidden:
    """What the gateway cannot see is not served: nobody is served uncharged by mistake."""

    @pytest.mark.parametrize("kind", [*HIDDEN, "calls-another", "calls-another-of-its-own", "class-calls-another"])
    def test_it_does_not_run(self, bob: Customer, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        for client in (bob.api, Client()):
            response = client.get(f"/own/{kind}")
            assert response.status_code in (503, 401)
            body = problem(
                response, response.status_code, {503: "unavailable", 401: "not_authenticated"}[response.status_code]
            )
            assert body["status"] == 401 or "could not be charged" in body["detail"]
        assert (views.runs, used(bob)) == ([], 0)
        assert "decorator be the outermost one" in caplog.text

    def test_below_the_api_neither(self, bob: Customer) -> None:
        problem(bob.api.get("/api/v1/own/hidden"), 503, "unavailable")
        assert (views.runs, used(bob)) == ([], 0)

    def test_a_method_that_another_one_calls_does_not(self, bob: Customer) -> None:
        problem(bob.api.put("/own/dear-but-for-post"), 503, "unavailable")
        assert (views.runs, used(bob)) == ([], 0)

    def test_a_route_for_the_path_lets_no_other_view_in(self, bob: Customer) -> None:
        Route.objects.create(path="/own/calls-another", feature=Feature.objects.create(code="host", tokens=1))
        problem(bob.api.get("/own/calls-another"), 503, "unavailable")
        assert (views.runs, used(bob)) == ([], 0)

    def test_two_prices_of_one_function_are_refused_where_they_are_written(self) -> None:
        with pytest.raises(ImproperlyConfigured, match=r"risk_score.*wallet_scan"):
            metered("wallet_scan")(views.plain)
        assert metered("risk_score")(views.plain).access.feature == "risk_score"

    def test_a_view_that_is_called_by_hand_does_not(self, bob: Customer) -> None:
        request = RequestFactory().get("/own/plain")
        assert views.plain(request).status_code == 503
        assert views.runs == []


class TestNotInTheCatalogue:
    def test_an_unknown_feature_is_a_503_that_names_it(self, bob: Customer, caplog: pytest.LogCaptureFixture) -> None:
        body = problem(bob.api.get("/own/unknown"), 503, "unavailable")
        assert (
            body["detail"]
            == "The feature not_sold, as which this is charged, is not on sale. The operator has to add it."
        )
        assert "'not_sold' is not in the catalogue" in caplog.text
        assert (views.runs, used(bob)) == ([], 0)

    def test_once_it_is_added_it_is_charged(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        from billing.catalogue import in_memory

        bob.api.get("/own/unknown")
        Feature.objects.create(code="not_sold", tokens=4)
        monkeypatch.setattr(in_memory, "_catalogue_checked", 0.0)  # a second later
        assert bob.api.get("/own/unknown")["X-Usage-Cost"] == "4"

    def test_the_check_names_view_and_name(self, catalogue: None) -> None:
        found = {message.id: message for message in check_metered_views()}
        assert {id: message.msg for id, message in found.items()} == {
            "billing_site.E020": (
                f"{views.__name__}.unknown is metered as 'not_sold', which is no feature of the catalogue."
            ),
            "billing_site.E021": (
                f"{views.__name__}.unknown_capability requires 'not_known', which is no capability of the catalogue."
            ),
        }
        Feature.objects.create(code="not_sold", tokens=4)
        assert [message.id for message in check_metered_views()] == ["billing_site.E021"]

    def test_without_decorated_views_it_asks_nobody(self, settings: Any, catalogue: None) -> None:
        settings.ROOT_URLCONF = "billing_site.urls"
        with CaptureQueriesContext(connection) as queries:
            assert list(check_metered_views()) == []
        assert len(queries) == 0
