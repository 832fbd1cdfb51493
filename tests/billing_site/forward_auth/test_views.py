"""/usage/authorize: what a proxy describes is decided on and charged as the gateway would."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Budget, LimitOverride
from billing.models.entitlements.api_keys import ApiKey
from tests.billing_site.request import test_identified_by_host as by_host
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

    @pytest.mark.parametrize("by", ["by_user", "by_jwt", "by_basic"])
    def test_nothing_that_a_browser_sends_by_itself_reaches_the_host(
        self, bob: Customer, settings: Any, by: str
    ) -> None:
        """A form of another site's makes it send cookies and Basic credentials, and the proxy asks for it by GET."""
        settings.METERED_IDENTIFY = f"{by_host.__name__}.{by}"
        browser = Client()
        browser.force_login(bob.user)
        browser.cookies[by_host.COOKIE] = by_host.token(bob.account)
        for headers in ({}, {"Authorization": "Basic Ym9iOmJvYg=="}, {"Authorization": "negotiate  x"}):
            assert code(ask(browser, START, "POST", **headers)) == (401, "not_authenticated")
        assert used(bob) == 0

    def test_a_token_that_a_browser_does_not_send_by_itself_does(self, bob: Customer, settings: Any) -> None:
        settings.METERED_IDENTIFY = f"{by_host.__name__}.by_jwt"
        client = Client(enforce_csrf_checks=True)
        client.cookies["other"] = "1"
        bearer = f"Bearer {by_host.token(bob.account)}"
        response = ask(client, START, "POST", Authorization=bearer)
        assert (response["X-Account-Id"], response["X-Usage-Cost"]) == (str(bob.account), "10")
        assert "Set-Cookie" not in response.headers and not response.cookies

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
