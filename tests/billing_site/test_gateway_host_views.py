"""The gateway before a host product's own views, which know nothing of metering."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from billing.catalogue import in_memory
from billing.models import Feature, Route
from ratelimit import process_state
from tests import host_urls
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import left, problem
from tests.outages import lose_postgres

__all__ = ["lose_postgres"]

pytestmark = pytest.mark.django_db


@pytest.fixture
def host(bob: Customer, settings: Any) -> Customer:
    """Bob, and a host product's own views, metered at 3 tokens a call."""
    settings.ROOT_URLCONF = "tests.host_urls"
    feature = Feature.objects.create(code="host", tokens=3)
    for name in ("plain", "loose", "stream", "broken", "stopped", "form"):
        Route.objects.create(path=f"/host/{name}", feature=feature)
    host_urls.runs.clear()
    return bob


class TestHostViews:
    """Views that know nothing of metering, outside of /api/v1/."""

    def test_a_plain_view_on_a_routed_path_is_metered(self, host: Customer) -> None:
        response = host.api.get("/host/plain")
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "3")
        assert left(response) == {"minute": 29, "quota": 497}

    def test_without_credentials_it_is_not_reached(self, host: Customer) -> None:
        problem(Client().get("/host/plain"), 401, "not_authenticated")
        problem(Client().options("/host/plain"), 401, "not_authenticated")
        assert host_urls.runs == []

    def test_options_does_not_run_what_cannot_tell_it_from_get(self, host: Customer) -> None:
        for name in ("plain", "form", "stream"):
            response = host.api.options(f"/host/{name}")
            assert (response.status_code, response.content, response.get("X-Usage-Cost")) == (204, b"", None)
        assert left(response) == {"minute": 27, "quota": 500}
        assert host_urls.runs == []

    def test_options_runs_a_class_that_answers_it_and_what_is_not_metered(self, host: Customer) -> None:
        Route.objects.create(path="/host/namesake", feature=Feature.objects.get(code="host"))
        assert host.api.options("/host/namesake")["Allow"] == "GET, HEAD, OPTIONS"
        assert Client().options("/host/Items/7/parts").status_code == 200
        assert host_urls.runs == ["OPTIONS"]

    def test_a_key_needs_no_csrf_token(self, host: Customer) -> None:
        client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {host.key}"})
        assert client.post("/host/plain", b"{}", "application/json").status_code == 200

    def test_a_session_does_and_is_charged_nothing_without(self, host: Customer) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(host.user)
        problem(client.post("/host/plain", b"{}", "application/json"), 403, "csrf_failed")
        assert (host_urls.runs, used(host)) == ([], 0)
        client.cookies["csrftoken"] = "t" * 32
        response = client.post("/host/plain", b"{}", "application/json", headers={"X-CSRFToken": "t" * 32})
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "3")

    @pytest.mark.parametrize(("status", "cost"), [(200, "3"), (302, "3"), (399, "3"), (400, "0"), (500, "0")])
    def test_success_ends_below_400(self, host: Customer, status: int, cost: str) -> None:
        assert host.api.get(f"/host/plain?status={status}")["X-Usage-Cost"] == cost
        assert used(host) == int(cost)

    def test_an_exception_gives_the_tokens_back(self, host: Customer) -> None:
        response = host.api.get("/host/broken")
        assert (response.status_code, response["X-Usage-Cost"]) == (500, "0")
        assert used(host) == 0

    def test_a_worker_that_is_stopped_gives_them_back_first(self, host: Customer) -> None:
        with pytest.raises(SystemExit):
            host.api.get("/host/stopped")
        assert used(host) == 0

    def test_a_view_that_answers_at_odd_spellings_is_metered_at_them(self, host: Customer) -> None:
        for path in ("/host/loose", "/host/LOOSE", "/host/Loose/", "/host/loose//", "/host/%4coose/x"):
            response = host.api.get(path)
            assert (response.status_code, response["X-Usage-Cost"]) == (200, "3")

    @pytest.mark.parametrize(("query", "cost"), [("", 3), ("?status=503", 0), ("?break=1", 3)])
    def test_a_stream_is_settled_by_its_status_line(self, host: Customer, query: str, cost: int) -> None:
        response = host.api.get(f"/host/stream{query}")
        assert used(host) == cost
        if query == "?break=1":
            with pytest.raises(RuntimeError):
                b"".join(response.streaming_content)
        else:
            assert b"".join(response.streaming_content) == b"first last"
        assert used(host) == cost

    def test_a_route_that_is_taken_away_is_no_longer_metered(self, host: Customer) -> None:
        host.api.get("/host/plain")
        Route.objects.filter(path="/host/plain").delete()
        process_state.start_anew()
        assert Client().get("/host/plain").status_code == 200

    def test_a_segment_of_a_route_may_be_a_parameter(self, host: Customer) -> None:
        Route.objects.create(path="/host/items/{id}/parts", feature=Feature.objects.get(code="host"))
        Route.objects.create(path="/host/items/8/parts", feature=Feature.objects.get(code="risk_score"))
        host.api.get("/api/v1/usage/current")
        costs = [host.api.get(f"/host/Items/{path}").get("X-Usage-Cost") for path in ("7/parts", "8/parts")]
        assert costs == ["3", "2"]
        problem(Client().get("/host/Items/9/parts"), 401, "not_authenticated")

    def test_elsewhere_the_catalogue_is_compared_once_a_second(
        self, host: Customer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        in_memory.catalogue()
        monkeypatch.setattr(in_memory, "_catalogue_checked", 0.0)
        with freeze_time() as clock, CaptureQueriesContext(connection) as queries:
            counts = []
            for seconds in (0, 1.0, 0.1, 0.9, 0.2):
                clock.tick(seconds)
                Client().get("/api/docs")
                counts.append(len([query for query in queries if "billing_fence" in query["sql"]]))
        assert counts == [1, 1, 2, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_of_a_warm_account_it_is_served_while_postgresql_is_gone(host: Customer, lose_postgres: Any) -> None:
    """Also by a process whose look at the catalogue is more than a second old."""
    assert host.api.get("/host/plain").status_code == 200
    lose_postgres()
    for seconds_later in (0, 2, 0):
        with freeze_time(tick=True) as clock:
            clock.tick(seconds_later)
            assert host.api.get("/host/plain").status_code == 200
