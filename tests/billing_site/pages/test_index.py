"""Where people type an address by hand: the index of the API, and pages with and without their slash."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.test import Client

from billing_site.openapi.document import document
from tests.cast import Customer
from tests.contract import left, problem
from tests.schema import CheckedClient

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("catalogue")]
NEEDS_A_SCOPE = ("keys", "webhooks", "usage_reservations")


@pytest.mark.parametrize("path", ["/api/v1/", "/api/v1"])
def test_the_index_links_to_all_that_can_be_read_as_it_stands(path: str) -> None:
    response = CheckedClient().get(path)
    assert response.status_code == 200
    linked = {urlsplit(link).path for link in response.json().values()}
    plain = {path for path, methods in document()["paths"].items() if "get" in methods and "{" not in path}
    sandbox = {
        path for path, methods in document()["paths"].items() if methods.get("get", {}).get("tags") == ["sandbox"]
    }
    of_proxies = {"/api/v1/usage/authorize"}
    assert linked == plain - sandbox - of_proxies - {"/api/v1"} | {"/api/docs", "/api/schema"}


def test_its_links_lead_somewhere(bob: Customer) -> None:
    response = bob.api.get("/api/v1/")
    assert left(response) == {"minute": 29, "quota": 500}
    for name, link in response.json().items():
        assert bob.api.get(urlsplit(link).path).status_code == (403 if name in NEEDS_A_SCOPE else 200), link


def test_it_is_for_reading_and_beside_it_there_is_nothing(bob: Customer) -> None:
    problem(bob.post("/api/v1/", {}), 405, "method_not_allowed")
    problem(bob.api.get("/api/v1/?x=1"), 400, "invalid", {"errors"})
    problem(bob.api.get("/api/v1/x"), 404, "not_found")
    problem(Client().get("/api/v1/", headers={"authorization": "Bearer nonsense"}), 401, "not_authenticated")


@pytest.mark.parametrize("page", ["/api/docs", "/api/schema", "/api/auth/login", "/health", "/metrics"])
def test_a_slash_at_the_end_makes_no_difference(page: str) -> None:
    assert [Client().get(f"{page}{end}").status_code for end in ("", "/", "x")] == [200, 200, 404]


def test_the_admin_is_found_without_its_slash() -> None:
    response = Client().get("/admin?x=1")
    assert (response.status_code, response["Location"]) == (302, "/admin/?x=1")
