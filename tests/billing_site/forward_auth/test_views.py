"""/usage/authorize: what a proxy describes is decided on and charged as the gateway would."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Budget, Feature, LimitOverride, Route
from billing.models.api_keys import ApiKey
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import has_rate_headers, left
from tests.redis_commands import redis_commands
from usage.drain import drain
from usage.models import UsageLog

pytestmark = pytest.mark.django_db
DOOR = "/api/v1/usage/authorize"
START = "/api/v1/trace/start"


@pytest.fixture(autouse=True)
def trusted(settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.0/8"), ip_network("2001:db8::/32")]
    settings.SITE_URL = "https://billing.example"


def ask(client: Client, uri: str = START, method: str = "GET", query: str = "", **headers: str) -> Any:
    described = {"X-Original-Method": method, "X-Original-URI": uri}
    return client.get(f"{DOOR}{query}", headers={**described, **headers})


def charges(customer: Customer) -> list[tuple[str, int, str]]:
    drain.drain()
    rows = UsageLog.objects.filter(account=customer.account).order_by("created_at", "kind")
    return [(row.kind, row.tokens, row.source) for row in rows]


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


class TestWhatIsDescribed:
    @pytest.mark.parametrize("names", ["Original", "Forwarded"])
    @pytest.mark.parametrize("own", ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
    def test_headers_and_any_method_of_the_proxys_own(self, bob: Customer, names: str, own: str) -> None:
        headers = {f"X-{names}-Method": "POST", f"X-{names}-Uri": f"{START}/7?depth=2"}
        client = Client(headers={"authorization": f"Bearer {bob.key}"})  # the document has two of the methods
        response = client.generic(own, DOOR, headers=headers)
        assert response.status_code == 200 and response.content == b""
        assert (response["X-Account-Id"], response["X-Plan"]) == (str(bob.account), "starter")
        assert response["X-Usage-Cost"] == "10"
        assert left(response) == {"minute": 29, "quota": 490}
        assert charges(bob) == [("charge", 10, "authorize")]
        assert str(UsageLog.objects.get().event_id) == response["X-Usage-Event"]

    @pytest.mark.parametrize("own", ["GET", "POST", "HEAD"])
    def test_the_path_behind_the_doors(self, bob: Customer, own: str) -> None:
        Route.objects.create(path="/trace", method="POST", feature=Feature.objects.create(code="post", tokens=3))
        response = bob.api.generic(own, f"{DOOR}/trace/7?as=nginx&whatever=1")
        assert response.status_code == 200
        assert response.get("X-Usage-Cost") == ("3" if own == "POST" else None)

    def test_the_path_as_the_server_got_it_tells_encoded_slashes(self, bob: Customer) -> None:
        Route.objects.create(path="/items/{id}/parts", feature=Feature.objects.create(code="parts", tokens=3))
        response = bob.api.get(f"{DOOR}/items/a/b/parts", RAW_URI=f"{DOOR}/items/a%2fb/parts?x=1")
        assert response["X-Usage-Cost"] == "3", "some servers route before they decode"

    def test_a_slash_at_the_doors_end(self, bob: Customer) -> None:
        headers = {"X-Original-Method": "GET", "X-Original-URI": START}
        assert bob.api.get(f"{DOOR}/", headers=headers)["X-Usage-Cost"] == "10"
        assert bob.api.get(f"{DOOR}/").status_code == 200, "the product's first page"

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"X-Original-Method": "GET"},
            {"X-Original-URI": START},
            {"X-Original-Method": "", "X-Original-URI": ""},
            {"X-Original-Method": "GET", "X-Original-URI": START, "X-Forwarded-Uri": "/api/v1/plans"},
            {"X-Original-Method": "GET", "X-Original-URI": START, "X-Forwarded-Method": "OPTIONS"},
            {"X-Original-Method": "GET, OPTIONS", "X-Original-URI": START},
            {"X-Original-Method": "GET", "X-Original-URI": f"{START}, /api/v1/plans"[::-1]},
            {"X-Original-Method": "GET", "X-Original-URI": "*"},
            {"X-Original-Method": "GET", "X-Original-URI": f"{START}%00"},
        ],
    )
    def test_none_two_and_nonsense_are_a_400(self, bob: Customer, headers: dict[str, str]) -> None:
        response = bob.api.get(DOOR, headers=headers)
        assert code(response) == (400, "invalid") and len(response.json()["errors"]) == 1
        assert used(bob) == 0

    def test_path_and_headers_disagree(self, bob: Customer) -> None:
        headers = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/api/v1/plans"}
        assert code(bob.api.get(f"{DOOR}{START}", headers=headers)) == (400, "invalid")
        headers["X-Forwarded-Uri"] = START
        assert bob.api.get(f"{DOOR}{START}", headers=headers).status_code == 200
        assert code(bob.api.post(f"{DOOR}{START}", headers=headers)) == (400, "invalid")

    @pytest.mark.parametrize("uri", ["/", "/elsewhere", "/admin/", "/api/v1/plans", DOOR, f"{DOOR}{START}", "/health"])
    def test_an_unrouted_path_costs_a_request(self, bob: Customer, uri: str) -> None:
        response = ask(bob.api, uri, "POST")
        assert response.status_code == 200
        assert (response["X-Usage-Event"], response.get("X-Usage-Cost")) == ("", None)
        assert left(response) == {"minute": 29, "quota": 500}
        assert charges(bob) == []

    @pytest.mark.parametrize("uri", ["/api/v1/usage/track", "/api/v1/usage/reservations", "/api/v1/mcp"])
    def test_a_view_that_names_its_charge_is_charged_where_it_is(self, dave: Customer, uri: str) -> None:
        response = dave.api.generic(
            "POST",
            DOOR,
            '{"feature": "trace_start", "tokens": 5}',
            content_type="application/json",
            headers={"X-Original-Method": "POST", "X-Original-URI": uri},
        )
        assert (response.status_code, response["X-Usage-Event"]) == (200, "")
        assert charges(dave) == []

    @pytest.mark.parametrize("method", ["HEAD", "head", "Get"])
    def test_head_is_charged_like_get_and_spelling_does_not_matter(self, bob: Customer, method: str) -> None:
        Route.objects.create(path="/only-get", method="GET", feature=Feature.objects.create(code="get", tokens=3))
        assert ask(bob.api, "/only-get", method)["X-Usage-Cost"] == "3"

    @pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
    def test_a_method_that_the_product_may_believe_counts_too(self, bob: Customer, name: str) -> None:
        Route.objects.create(path="/only-put", method="PUT", feature=Feature.objects.create(code="put", tokens=3))
        assert ask(bob.api, "/only-put", "POST", **{name: "put"})["X-Usage-Cost"] == "3"
        assert ask(bob.api, "/only-put", "PUT", **{name: "OPTIONS"})["X-Usage-Cost"] == "3"
        assert ask(bob.api, START, "OPTIONS", **{name: "POST"})["X-Usage-Cost"] == "10"

    def test_a_path_that_is_charged_differently_by_its_readers_is_refused(self, bob: Customer) -> None:
        for path, tokens in (("/cheap", 1), ("/dear", 9)):
            Route.objects.create(path=path, feature=Feature.objects.create(code=path[1:], tokens=tokens))
        response = ask(bob.api, "/cheap/../dear")
        assert code(response) == (400, "invalid") and "X-Original-URI" in response.json()["errors"]
        assert response["X-Usage-Cost"] == "0" and used(bob) == 0
        assert ask(bob.api, "/plain/../dear")["X-Usage-Cost"] == "9"
        assert ask(bob.api, "/dear/../plain")["X-Usage-Cost"] == "9"


class TestWhoIsBelieved:
    @pytest.mark.parametrize("peer", ["10.0.0.1", "", "2001:db9::1", "unix:", "fe80::1%eth0"])
    def test_nobody_else(self, bob: Customer, peer: str) -> None:
        response = bob.api.get(
            DOOR,
            headers={
                "X-Original-Method": "GET",
                "X-Original-URI": START,
                "X-Forwarded-For": "127.0.0.1",
                "X-Real-IP": "127.0.0.1",
                "Forwarded": "for=127.0.0.1",
            },
            REMOTE_ADDR=peer,
        )
        assert code(response) == (403, "forbidden")
        assert not has_rate_headers(response) and used(bob) == 0

    @pytest.mark.parametrize("peer", ["127.0.0.9", "::ffff:127.0.0.9", "2001:db8::1"])
    def test_those_that_are_named(self, bob: Customer, peer: str) -> None:
        headers = {"X-Original-Method": "GET", "X-Original-URI": START}
        assert bob.api.get(DOOR, headers=headers, REMOTE_ADDR=peer).status_code == 200

    def test_unset_is_nobody_whatever_a_header_says(self, bob: Customer, settings: Any) -> None:
        settings.CLIENT_ADDRESS_HEADER = "X-Real-IP"
        settings.TRUSTED_PROXIES = []
        assert code(ask(bob.api, **{"X-Real-IP": "127.0.0.1"})) == (403, "forbidden")


def test_a_proxy_beside_a_site_of_https_is_not_sent_elsewhere(bob: Customer, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    client = Client(headers={"authorization": f"Bearer {bob.key}"})
    assert ask(client).status_code == 200
    assert client.get(f"{DOOR}{START}").status_code == 200
    assert client.get("/api/v1/plans").status_code == 301


class TestWhoCalls:
    def test_keys_alone(self, bob: Customer) -> None:
        for headers in ({}, {"authorization": "Bearer made.up"}, {"authorization": "Basic x"}):
            response = ask(Client(headers=headers))
            assert code(response) == (401, "not_authenticated") and response["WWW-Authenticate"] == "Bearer"
            assert not has_rate_headers(response)
        browser = Client()
        browser.force_login(bob.user)
        assert code(ask(browser)) == (401, "not_authenticated"), "another site's page makes it send its session"
        assert used(bob) == 0

    def test_a_proxys_post_needs_no_csrf_token(self, bob: Customer) -> None:
        strict = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {bob.key}"})
        assert strict.post(f"{DOOR}{START}").status_code == 200

    def test_a_warm_question_is_one_redis_command_and_no_query(self, bob: Customer) -> None:
        ask(bob.api)
        with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
            assert ask(bob.api)["X-Usage-Cost"] == "10"
        assert (commands, len(queries)) == (["EVALSHA"], 0)

    def test_a_preflight_brings_no_key(self, bob: Customer, settings: Any) -> None:
        browser, asks = Client(), {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
        assert ask(browser, START, "OPTIONS", **asks).status_code == 401
        settings.AUTHORIZE_PREFLIGHTS = True
        response = ask(browser, START, "OPTIONS", **asks)
        assert (response.status_code, response["X-Account-Id"]) == (200, "")
        assert not has_rate_headers(response)
        assert browser.options(f"{DOOR}{START}", headers=asks).status_code == 200
        assert ask(browser, START, "POST", **asks).status_code == 401
        assert ask(browser, START, "OPTIONS").status_code == 401
        assert ask(browser, START, "OPTIONS", **asks, **{"X-HTTP-Method-Override": "POST"}).status_code == 401
        assert left(ask(bob.api, START, "OPTIONS", **asks)) == {"minute": 29, "quota": 500}


class TestRefusals:
    def test_the_usual_bodies_with_whole_links(self, alice: Customer) -> None:
        lacking = ask(alice.api, "/api/v1/agent/query")
        assert code(lacking) == (403, "feature_not_in_plan")
        assert lacking.json()["upgrade_url"] == "https://billing.example/dashboard/"
        assert lacking.json()["type"] == "https://billing.example/api/docs/errors#feature_not_in_plan"
        for _ in range(10):
            assert ask(alice.api).status_code == 200
        full = ask(alice.api, "/elsewhere")
        assert code(full) == (429, "rate_limited") and full.json()["retry_after"] == int(full["Retry-After"]) > 0
        quota = ask(alice.api)
        assert code(quota) == (429, "quota_exceeded") and quota.json()["type"].startswith("https://iana.org/")
        assert len(charges(alice)) == 10

    def test_a_browser_gets_json_too(self, bob: Customer) -> None:
        response = ask(Client(), Accept="text/html")
        assert response["Content-Type"] == "application/problem+json"

    def test_accept_of_the_products_clients_refuses_nothing(self, bob: Customer) -> None:
        assert ask(bob.api, **{"Accept": "image/png", "Content-Type": "multipart/form-data"}).status_code == 200

    @pytest.mark.parametrize(
        ("uri", "status", "told"),
        [("/api/v1/agent/query", 403, 403), (START, 403, 429), ("/%00", 403, 400)],
    )
    def test_for_nginx(self, alice: Customer, uri: str, status: int, told: int) -> None:
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=5)
        client = Client(headers={"authorization": f"Bearer {alice.key}"})
        plain, response = ask(client, uri), ask(client, uri, query="?as=nginx")
        assert (plain.status_code, response.status_code) == (told, status)
        assert response["X-Refusal-Status"] == str(told)
        assert response["X-Refusal-Body"].encode() == response.content and response.json()["status"] == told
        names = ("RateLimit", "X-Should-Retry", "Retry-After", "X-Usage-Cost")
        assert [response.get(name) for name in names] == [plain.get(name) for name in names]

    def test_for_nginx_401_stays_one_and_success_is_as_ever(self, bob: Customer) -> None:
        response = ask(Client(), query="?as=nginx")
        assert (response.status_code, response["X-Refusal-Status"]) == (401, "401")
        assert response["WWW-Authenticate"] == "Bearer"
        assert ask(bob.api, query="?as=nginx").status_code == 200

    def test_a_query_of_the_clients_asks_for_nothing(self, alice: Customer) -> None:
        """Caddy leaves it there unless it is told otherwise; Envoy always."""
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=5)
        assert ask(alice.api, query="?depth=2&format=html").status_code == 429
        assert alice.api.get(f"{DOOR}{START}?as=nginx").status_code == 429


class TestHeadersOfTheCall:
    def test_an_idempotency_key_is_the_products(self, bob: Customer) -> None:
        costs = [ask(bob.api, **{"Idempotency-Key": "k" * 300})["X-Usage-Cost"] for _ in range(2)]
        assert costs == ["10", "10"]

    def test_a_runs_budgets_hold_and_no_loop_is_seen(self, bob: Customer) -> None:
        key = ApiKey.objects.get(account=bob.user)
        Budget.objects.create(key=key, tokens_per_run=25, repeats_per_run=1)
        costs = [ask(bob.api, **{"Usage-Run": "r"}) for _ in range(3)]
        assert [response.status_code for response in costs] == [200, 200, 429]
        assert costs[2].json()["code"] == "budget_exceeded"
        assert code(ask(bob.api, **{"Usage-Run": "x" * 65})) == (400, "invalid")
