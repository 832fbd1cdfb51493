"""Bodies sent in chunks are bodies: read within the limit, and two of them are not the same request."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from billing.models import Feature, Route
from tests.billing_site.test_gateway import used
from tests.cast import Customer
from tests.contract import problem

pytestmark = pytest.mark.django_db
TRACE = "/api/v1/trace/start"


class Chunks(io.BytesIO):
    """As a server hands them over: fewer bytes at once than it is asked for."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, 7000) if size and size > 0 else size)


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError("Invalid chunk size")


def send(customer: Customer, path: str, body: io.BytesIO, media_type: str = "application/json", **headers: str) -> Any:
    environ: dict[str, Any] = {"wsgi.input": body, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
    return customer.api.generic("POST", path, b"", headers=headers, CONTENT_TYPE=media_type, **environ)


def test_the_body_reaches_the_view(bob: Customer) -> None:
    given = {"depth": 2, "text": "x" * 20_000}
    response = send(bob, TRACE, Chunks(json.dumps(given).encode()))
    assert (response.status_code, response.json()["input"]) == (200, given)
    tracked = send(bob, "/api/v1/usage/track", Chunks(b'{"feature": "risk_score"}'))
    assert (tracked.status_code, tracked["X-Usage-Cost"]) == (200, "2")


def test_an_empty_one_is_an_empty_body(bob: Customer) -> None:
    assert send(bob, TRACE, Chunks()).json()["input"] == {}


def test_two_bodies_under_one_key_are_two_requests(bob: Customer) -> None:
    first, again, other = (
        send(bob, TRACE, Chunks(body), **{"Idempotency-Key": "k"}) for body in (b'{"a": 1}', b'{"a": 1}', b'{"a": 2}')
    )
    assert again["Idempotency-Replayed"] == "true" and again.json() == first.json()
    problem(other, 409, "idempotency_conflict")
    assert used(bob) == 10


@pytest.mark.parametrize(("size", "status"), [(999, 200), (1000, 200), (1001, 413), (50_000, 413)])
def test_the_limit_of_size_is_that_of_all_bodies(bob: Customer, settings: Any, size: int, status: int) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = send(bob, TRACE, Chunks(b'{"text": "' + b"x" * (size - 12) + b'"}'))
    assert response.status_code == status
    if status == 413:
        assert problem(response, 413, "too_large")["detail"] == "The body is larger than 1000 bytes; send less."
    assert used(bob) == (10 if status == 200 else 0)


def test_what_is_no_chunks_is_refused_and_costs_nothing(bob: Customer) -> None:
    problem(send(bob, TRACE, Broken()), 400, "invalid")
    assert used(bob) == 0


def test_a_hosts_form_is_read_as_well(bob: Customer, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.host_urls"
    Route.objects.create(path="/host/form", feature=Feature.objects.create(code="host", tokens=3))
    fields = send(bob, "/host/form", Chunks(b"a=1&b=2"), "application/x-www-form-urlencoded").json()["fields"]
    assert fields == {"a": "1", "b": "2"}
    part = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'
    assert send(bob, "/host/form", Chunks(part), "multipart/form-data; boundary=x").json()["fields"] == {"a": "1"}


def test_a_form_in_chunks_is_no_json(bob: Customer) -> None:
    response = send(bob, TRACE, Chunks(b"a=1"), "application/x-www-form-urlencoded")
    problem(response, 415, "unsupported_media_type")
    assert used(bob) == 0
