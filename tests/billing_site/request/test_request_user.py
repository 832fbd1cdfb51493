"""The caller as Django knows a user, and that being sent to log in costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.models import Feature, Route
from tests import host_urls
from tests.billing_site.test_gateway import used
from tests.cast import Customer

pytestmark = pytest.mark.django_db


@pytest.fixture
def host(bob: Customer, settings: Any) -> Customer:
    """Bob, and a host product's views for its users, metered at 3 tokens a call."""
    settings.ROOT_URLCONF = "tests.host_urls"
    feature = Feature.objects.create(code="host", tokens=3)
    for name in ("plain", "members", "members-api", "later", "leads"):
        Route.objects.create(path=f"/host/{name}", feature=feature)
    host_urls.runs.clear()
    return bob


class TestTheUser:
    @pytest.mark.parametrize(("method", "name"), [("get", "members"), ("post", "members-api"), ("get", "later")])
    def test_of_a_caller_with_a_key_is_the_accounts(self, host: Customer, method: str, name: str) -> None:
        response = getattr(host.api, method)(f"/host/{name}")
        assert (response.status_code, response.json(), response["X-Usage-Cost"]) == (200, {"user": "bob"}, "3")

    def test_of_a_session_is_the_sessions(self, host: Customer) -> None:
        browser = Client()
        browser.force_login(host.user)
        assert browser.get("/host/members").json() == {"user": "bob"}

    def test_a_key_goes_before_a_session(self, host: Customer, alice: Customer) -> None:
        browser = Client(headers={"authorization": f"Bearer {host.key}"})
        browser.force_login(alice.user)
        assert browser.get("/host/members").json() == {"user": "bob"}

    def test_is_not_read_for_a_view_that_does_not_ask(self, host: Customer) -> None:
        host.api.get("/host/plain")
        with CaptureQueriesContext(connection) as queries:
            host.api.get("/host/plain")
        assert len(queries) == 0
        with CaptureQueriesContext(connection) as queries:
            host.api.get("/host/members")
        assert len(queries) == 1

    def test_is_nobody_outside_of_the_gateway(self, bob: Customer) -> None:
        response = bob.api.get("/admin/")
        assert response.status_code == 302, "a key logs nobody into the admin"
        assert isinstance(response.wsgi_request.user, AnonymousUser) or not response.wsgi_request.user.is_authenticated


class TestBeingSentToLogIn:
    @pytest.mark.parametrize(
        "to",
        [
            "/accounts/login/",
            "/accounts/login/?next=/elsewhere",
            "/host/enter?next=/host/leads",
            "https://id.example/in?next=https%3A//testserver/host/leads%3Fto%3Dx",
        ],
    )
    def test_costs_nothing(self, host: Customer, to: str) -> None:
        response = host.api.get("/host/leads", {"to": to})
        assert (response.status_code, response["X-Usage-Cost"]) == (302, "0")
        assert used(host) == 0

    @pytest.mark.parametrize("to", ["/host/plain", "/host/plain?next=/host/other", "https://example.com/", "/"])
    def test_any_other_redirect_is_an_answer(self, host: Customer, to: str) -> None:
        assert host.api.get("/host/leads", {"to": to})["X-Usage-Cost"] == "3"

    def test_it_frees_the_idempotency_key(self, host: Customer) -> None:
        for _ in range(2):
            response = host.api.get("/host/leads", {"to": "/accounts/login/"}, headers={"Idempotency-Key": "k"})
            assert "Idempotency-Replayed" not in response
        assert used(host) == 0

    def test_the_log_in_page_is_the_settings(self, host: Customer, settings: Any) -> None:
        settings.LOGIN_URL = "/host/enter"
        assert host.api.get("/host/leads", {"to": "/host/enter"})["X-Usage-Cost"] == "0"
        assert host.api.get("/host/leads", {"to": "/accounts/login/"})["X-Usage-Cost"] == "3"
