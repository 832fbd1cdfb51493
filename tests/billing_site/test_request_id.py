"""X-Request-ID: taken over where it is sound, made where not, and in every log line of the request."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from billing_site.request_id import RequestIdFilter, current
from tests.cast import Customer

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("given", ["a", "x" * 128, "0b7c-11:22/33", "~!"])
def test_a_sound_id_is_taken_over(catalogue: None, given: str) -> None:
    assert Client().get("/api/v1/plans", headers={"X-Request-ID": given})["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é", "a\x00", "\x7f"])
def test_another_one_is_replaced(catalogue: None, given: str) -> None:
    made = Client().get("/api/v1/plans", headers={"X-Request-ID": given})["X-Request-ID"]
    assert made != given
    assert len(made) == 32


@pytest.mark.parametrize("path", ["/api/v1/plans", "/api/v1/usage/current", "/health", "/nothing", "/admin/"])
def test_every_response_has_one_of_its_own(catalogue: None, path: str) -> None:
    first, second = (Client().get(path)["X-Request-ID"] for _ in range(2))
    assert first and second and first != second


def test_it_stands_in_the_log_lines_of_the_request(bob: Customer, caplog: pytest.LogCaptureFixture) -> None:
    seen = RequestIdFilter()
    caplog.handler.addFilter(seen)
    try:
        bob.api.get("/api/v1/trace/start?fail=exception", headers={"X-Request-ID": "one"})
        logging.getLogger("elsewhere").warning("outside")
    finally:
        caplog.handler.removeFilter(seen)
    ids = {record.name: record.__dict__["request_id"] for record in caplog.records}
    assert ids == {"django.request": "one", "elsewhere": "-"}
    assert current.get() == "-"
