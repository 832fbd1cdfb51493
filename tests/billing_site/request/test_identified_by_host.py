"""METERED_IDENTIFY: callers whom the host product knows by a JWT, or by a cookie of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Plan
from billing.models.entitlements.budgets import Budget
from billing_site.operations.checks.start import at_start
from ratelimit import process_state
from tests.billing_site.metered import views
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import has_rate_headers, left, problem
from tests.redis_commands import redis_commands

pytestmark = pytest.mark.django_db
SECRET = "the product's own secret, long enough for HS256"
COOKIE = "product_token"
asked: list[str] = []


def by_jwt(request: HttpRequest) -> int | None:
    """As a product writes it: the token of the Authorization header, or of a cookie; None where there is none."""
    asked.append(request.path)
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token or request.COOKIES.get(COOKIE, "")
    if token.count(".") != 2:
        return None
    return int(jwt.decode(token, SECRET, algorithms=["HS256"], audience="api")["sub"])


def by_user(request: HttpRequest) -> Any:
    """A user, or Django's AnonymousUser."""
    return get_user_model().objects.filter(username=request.headers.get("X-Name")).first() or request.user


def by_basic(request: HttpRequest) -> int | None:
    return get_user_model().objects.get(username="bob").pk if "Authorization" in request.headers else None


answer: Any = None


def anything(request: HttpRequest) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def token(account: Any, **claims: Any) -> str:
    given = {"sub": str(account), "aud": "api", "exp": int(time.time()) + 60} | claims
    return jwt.encode(given, SECRET, algorithm="HS256")


@pytest.fixture(autouse=True)
def host(settings: Any) -> Iterator[None]:
    settings.ROOT_URLCONF = "tests.billing_site.metered.views"
    settings.METERED_IDENTIFY = f"{__name__}.by_jwt"
    views.runs.clear()
    asked.clear()
    yield


def bearing(text: str, scheme: str = "Bearer", **options: Any) -> Client:
    return Client(headers={"authorization": f"{scheme} {text}"}, **options)


@pytest.mark.parametrize("path", ["/own/plain", "/own/later", "/own/rest"])
def test_a_jwt_is_charged_to_its_user(bob: Customer, path: str) -> None:
    response = bearing(token(bob.account)).get(path)
    assert (response.status_code, response["X-Usage-Cost"], response.json()) == (200, "2", {"user": "bob"})
    assert used(bob) == 2


def test_the_api_knows_it_too(bob: Customer) -> None:
    client = bearing(token(bob.account))
    assert client.get("/api/v1/usage/current").json()["plan"] == "starter"
    assert client.get("/api/v1/trace/start")["X-Usage-Cost"] == "10"
    assert {plan["available"] for plan in client.get("/api/v1/plans").json()["results"]} > {None}


def test_a_warm_call_is_one_redis_command_and_no_query(bob: Customer) -> None:
    client = bearing(token(bob.account))
    client.get("/api/v1/trace/start")
    with redis_commands() as commands, CaptureQueriesContext(connection) as queries:
        assert client.get("/api/v1/trace/start").status_code == 200
    assert (commands, len(queries)) == (["EVALSHA"], 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda account: token(account, exp=1),
        lambda account: token(account, aud="elsewhere"),
        lambda account: token(account)[:-3] + "abc",
        lambda account: jwt.encode({"sub": str(account), "aud": "api"}, None, algorithm="none"),
        lambda account: token("bob"),
        lambda account: "a.b.c",
    ],
)
@pytest.mark.parametrize("path", ["/own/plain", "/api/v1/plans", "/api/v1/usage/current"])
def test_a_bad_one_is_a_401(bob: Customer, wrong: Callable[[int], str], path: str) -> None:
    response = bearing(wrong(bob.account)).get(path)
    assert problem(response, 401, "not_authenticated")["reason"] == "refused"
    assert not has_rate_headers(response)
    assert (views.runs, used(bob)) == ([], 0)


class TestKeysGoFirst:
    def test_a_key_never_asks_the_product(self, bob: Customer) -> None:
        for _ in range(2):
            assert bob.api.get("/own/plain").status_code == 200
        assert asked == []

    def test_nor_does_a_bad_one_of_ours(self, bob: Customer) -> None:
        bob.user.api_keys.get().revoke()
        assert problem(bob.api.get("/own/plain"), 401, "not_authenticated")["reason"] == "revoked"
        assert asked == []

    def test_what_the_product_does_not_know_is_looked_up_as_a_key(self, bob: Customer) -> None:
        assert problem(bearing("guess").get("/own/plain"), 401, "not_authenticated")["reason"] == "unknown"
        assert problem(bearing("guess", "Token").get("/own/plain"), 401, "not_authenticated")["reason"] == "scheme"
        assert problem(Client().get("/own/plain"), 401, "not_authenticated")["reason"] == "missing"
        assert asked == ["/own/plain"] * 3


class TestWhoItIs:
    def test_a_deactivated_user_fails_on_the_next_request(self, bob: Customer) -> None:
        client = bearing(token(bob.account))
        assert client.get("/own/plain").status_code == 200
        get_user_model().objects.filter(pk=bob.account).update(is_active=False)
        process_state.start_anew()  # nothing is pushed in a test's transaction
        assert problem(client.get("/own/plain"), 401, "not_authenticated")["reason"] == "revoked"

    @pytest.mark.parametrize("account", [4_000_000, 2**63 - 1])
    def test_nobody_has_that_id(self, catalogue: None, account: int) -> None:
        for _ in range(2):
            assert problem(bearing(token(account)).get("/own/plain"), 401, "not_authenticated")["reason"] == "revoked"
        assert views.runs == []

    @pytest.mark.parametrize("wrong", [0, -1, 2**63, True, "7", 7.0, object(), b"7", ValueError(), KeyError("x")])
    def test_what_is_no_account_is_a_401(
        self, bob: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch, wrong: Any
    ) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.anything"
        monkeypatch.setattr(f"{__name__}.answer", wrong)
        assert problem(Client().get("/own/plain"), 401, "not_authenticated")["reason"] == "refused"

    def test_what_it_raises_is_logged_without_its_text(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, bob: Customer
    ) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.anything"
        monkeypatch.setattr(f"{__name__}.answer", ValueError("the secret token"))
        with caplog.at_level("INFO"):
            Client().get("/own/plain")
        assert f"ValueError at {__file__}" in caplog.text and "secret token" not in caplog.text

    def test_without_the_products_database_nobody_knows(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch, bob: Customer
    ) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.anything"
        monkeypatch.setattr(f"{__name__}.answer", OperationalError("gone"))
        problem(Client().get("/own/plain"), 503, "unavailable")

    def test_it_may_give_a_user(self, bob: Customer, settings: Any) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.by_user"
        response = Client(headers={"X-Name": "bob"}).get("/own/plain")
        assert (response.json(), response["X-Usage-Cost"]) == ({"user": "bob"}, "2")
        problem(Client(headers={"X-Name": "nobody"}).get("/own/plain"), 401, "not_authenticated")

    def test_it_may_not_make_keys_and_has_no_scope(self, bob: Customer) -> None:
        client = bearing(token(bob.account))
        problem(client.post("/api/v1/keys", {"name": "x"}, "application/json"), 403, "forbidden")
        event = "019ab0c4-7f2e-7cc3-98c4-dc0c0c07398f"
        problem(client.delete(f"/api/v1/usage/events/{event}"), 403, "forbidden")

    def test_the_budgets_of_a_plans_keys_are_not_its_own(self, bob: Customer) -> None:
        Budget.objects.create(plan=Plan.objects.get(code="starter"), tokens_per_day=1)
        assert bearing(token(bob.account)).get("/own/plain").status_code == 200


class TestCsrf:
    """What a browser sends by itself needs the token of a form."""

    def cookie(self, customer: Customer, **options: Any) -> Client:
        client = Client(enforce_csrf_checks=True, **options)
        client.cookies[COOKIE] = token(customer.account)
        return client

    def test_a_header_needs_none(self, bob: Customer) -> None:
        client = bearing(token(bob.account), enforce_csrf_checks=True)
        client.cookies["other"] = "1"
        assert client.post("/own/plain", {})["X-Usage-Cost"] == "2"

    def test_a_cookie_does(self, bob: Customer) -> None:
        client = self.cookie(bob)
        problem(client.post("/own/exempt", {}), 403, "csrf_failed")
        assert (views.runs, used(bob)) == ([], 0)
        assert client.get("/own/plain")["X-Usage-Cost"] == "2"
        client.cookies["csrftoken"] = "t" * 32
        assert client.post("/own/plain", {}, headers={"X-CSRFToken": "t" * 32})["X-Usage-Cost"] == "2"

    def test_a_header_of_the_products_own_without_cookies_needs_none(self, bob: Customer, settings: Any) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.by_user"
        client = Client(enforce_csrf_checks=True, headers={"X-Name": "bob"})
        assert client.post("/own/plain", {})["X-Usage-Cost"] == "2"

    def test_a_scheme_that_browsers_send_does(self, bob: Customer, settings: Any) -> None:
        settings.METERED_IDENTIFY = f"{__name__}.by_basic"
        client = bearing("Ym9iOmJvYg==", "Basic", enforce_csrf_checks=True)
        problem(client.post("/own/plain", {}), 403, "csrf_failed")
        assert client.get("/own/plain")["X-Usage-Cost"] == "2"

    def test_the_session_is_asked_where_the_product_knows_nobody(self, bob: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(bob.user)
        assert client.get("/own/plain").json() == {"user": "bob"}
        problem(client.post("/own/plain", {}), 403, "csrf_failed")


def test_the_key_beside_a_cookie_of_another_user_counts(alice: Customer, bob: Customer) -> None:
    bob.api.cookies[COOKIE] = token(alice.account)
    assert bob.api.get("/own/plain").json() == {"user": "bob"}
    assert (used(alice), left(bob.api.get("/api/v1/usage/current"))["quota"]) == (0, 498)


@pytest.mark.parametrize("path", ["no.such.module", "tests.cast.nobody", f"{__name__}.SECRET"])
def test_a_path_that_leads_nowhere_is_told_at_the_start(settings: Any, path: str) -> None:
    settings.METERED_IDENTIFY = path
    with pytest.raises(ImproperlyConfigured, match=r"billing_site\.E022"):
        at_start()
