"""X-Request-ID: taken over where it is sound, made where not, and in every log line of the request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from billing_site.request.request_id import RequestIdFilter, current, without_body
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
    assert current.get() is None


@pytest.mark.parametrize("fail", ["exception", "503"])
def test_it_stands_in_the_line_that_django_writes_of_a_failed_response(
    bob: Customer, caplog: pytest.LogCaptureFixture, fail: str
) -> None:
    seen = RequestIdFilter()
    caplog.handler.addFilter(seen)
    try:
        bob.api.get(f"/api/v1/trace/start?fail={fail}", headers={"X-Request-ID": "two"})
    finally:
        caplog.handler.removeFilter(seen)
    assert {record.__dict__["request_id"] for record in caplog.records if record.name == "django.request"} == {"two"}


class TestHead:
    """Asked of the application itself: the test client takes the body away as a server does."""

    def answer(self, path: str, method: str, key: str = "") -> tuple[str, dict[str, str], bytes]:
        started: list[Any] = []
        environ = (
            RequestFactory().generic(method, path, headers={"authorization": f"Bearer {key}"} if key else {}).environ
        )
        response = WSGIHandler()(environ, lambda status, headers: started.append((status, dict(headers))))
        try:
            return (*started[0], b"".join(response))
        finally:
            response.close()

    @pytest.mark.parametrize("path", ["/api/v1/trace/start", "/api/v1/usage/current", "/api/v1/nothing", "/health"])
    def test_has_what_get_has_but_no_body(self, bob: Customer, path: str) -> None:
        (status, headers, body), (get_status, get_headers, shown) = (
            self.answer(path, method, bob.key) for method in ("HEAD", "GET")
        )
        assert (status, body, shown != b"") == (get_status, b"", True)
        assert set(headers) == set(get_headers)
        assert int(headers["Content-Length"]) > 0

    def test_of_a_stream_closes_it(self) -> None:
        closed: list[bool] = []

        def parts() -> Iterator[bytes]:
            try:
                yield b"first"
            finally:
                closed.append(True)

        stream = parts()
        next(stream)
        response = without_body(StreamingHttpResponse(stream))
        assert b"".join(response) == b""  # type: ignore[arg-type]
        response.close()
        assert closed == [True]
