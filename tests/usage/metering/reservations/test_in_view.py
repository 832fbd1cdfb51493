"""Reservations in the hands of a view: the call pays by its units, and not by its path's price."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import Client
from django.urls import path

from billing.models import LimitOverride
from billing_site.urls import urlpatterns as ours
from tests.cast import Customer
from tests.usage.metering.reservations.held import counted
from usage.metering.reservations.streaming import settling
from usage.models import Reservation

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
PATH = "/api/v1/trace/start"
"""Of the fixed price of 10 tokens."""


def view(request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
    reservation = request.admission.reserve(tokens=30, run="r-1")  # type: ignore[attr-defined]
    how = request.GET["how"]
    if how == "settle":
        reservation.settle(tokens=7)
    if how == "fail":
        reservation.heartbeat(tokens=4)
        return JsonResponse({}, status=502)
    if how == "raise":
        raise RuntimeError("the view failed, as it was asked to")
    if how == "child":
        child = reservation.child("graph_query", tokens=5)
        child.settle(tokens=2)
        reservation.settle(tokens=7)
    if how.startswith("stream"):
        sent: list[int] = []

        def chunks() -> Iterator[bytes]:
            for number in range(10):
                if how == "stream-dies" and number == 5:
                    raise RuntimeError("the source died")
                sent.append(number)
                yield b"x"

        def used() -> dict[str, int | None] | None:
            return {"tokens": len(sent)} if how in ("stream", "stream-dies") else None

        def guessed() -> dict[str, int | None] | None:
            return {"tokens": len(sent) + 1} if how == "stream-guessed" else None

        return StreamingHttpResponse(settling(chunks(), reservation, used, guessed))
    return JsonResponse({"reservation": reservation.id})


urlpatterns = [path("api/v1/trace/start", view), *ours]


def leave(answer: Any) -> None:
    """As a server does whose client is gone; Django's test client would close the database besides."""
    for close in answer._resource_closers:
        close()


def ask(customer: Customer, how: str) -> Any:
    return customer.api.get(f"{PATH}?how={how}")


@pytest.fixture
def bob(bob: Customer) -> Customer:
    bob.api = Client(headers={"authorization": f"Bearer {bob.key}"}, raise_request_exception=False)
    return bob


def test_the_call_pays_what_it_settles(bob: Customer) -> None:
    answer = ask(bob, "settle")
    assert (answer["X-Usage-Cost"], counted(bob)) == ("7", (7, 7))
    assert '"quota";r=493' in answer["RateLimit"]


def test_open_it_costs_what_it_holds(bob: Customer) -> None:
    answer = ask(bob, "open")
    assert (answer["X-Usage-Cost"], counted(bob)) == ("30", (30, 30))


def test_a_failure_pays_what_was_done_by_its_heartbeat(bob: Customer) -> None:
    answer = ask(bob, "fail")
    assert (answer.status_code, counted(bob)) == (502, (4, 4))
    assert Reservation.objects.get().outcome == "failed"


def test_a_failure_without_a_heartbeat_pays_nothing(bob: Customer) -> None:
    assert (ask(bob, "raise").status_code, counted(bob)) == (500, (0, 0))


def test_children_are_paid_out_of_it(bob: Customer) -> None:
    assert (ask(bob, "child")["X-Usage-Cost"], counted(bob)) == ("9", (9, 9))


def test_a_stream_that_ends(bob: Customer) -> None:
    assert b"".join(ask(bob, "stream").streaming_content) == b"x" * 10
    assert counted(bob) == (10, 10)


def test_a_stream_whose_client_leaves(bob: Customer) -> None:
    answer = ask(bob, "stream")
    for _ in range(5):
        next(answer.streaming_content)
    leave(answer)
    assert counted(bob) == (5, 5)
    assert Reservation.objects.get().outcome == "aborted"


def test_a_stream_that_nobody_reads(bob: Customer) -> None:
    leave(ask(bob, "stream"))
    assert counted(bob) == (0, 0)


def test_a_stream_whose_source_dies(bob: Customer) -> None:
    answer = ask(bob, "stream-dies")
    with pytest.raises(RuntimeError):
        b"".join(answer.streaming_content)
    assert counted(bob) == (5, 5)
    assert Reservation.objects.get().outcome == "failed"


def test_a_stream_that_reports_nothing(bob: Customer) -> None:
    b"".join(ask(bob, "stream-silent").streaming_content)
    assert counted(bob) == (0, 0)


def test_a_stream_that_reports_nothing_and_is_estimated(bob: Customer) -> None:
    b"".join(ask(bob, "stream-guessed").streaming_content)
    assert counted(bob) == (11, 11)
    assert Reservation.objects.get().estimated


def test_under_an_idempotency_key_it_is_paid_once(bob: Customer) -> None:
    for _ in range(2):
        answer = bob.api.get(f"{PATH}?how=settle", headers={"idempotency-key": "k1"})
    assert (answer["Idempotency-Replayed"], counted(bob)) == ("true", (7, 7))


def test_a_stream_under_an_idempotency_key_is_not_run_and_paid_again(bob: Customer) -> None:
    headers = {"idempotency-key": "k1"}
    b"".join(bob.api.get(f"{PATH}?how=stream", headers=headers).streaming_content)
    assert counted(bob) == (10, 10)  # drained: PostgreSQL is asked about the key
    answer = bob.api.get(f"{PATH}?how=stream", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_exhausted")
    assert counted(bob) == (10, 10)


def test_a_quota_of_just_the_bound_suffices(bob: Customer) -> None:
    LimitOverride.objects.create(account=bob.user, limit="quota", maximum=30, reason="a test")
    assert ask(bob, "settle").status_code == 200
    assert counted(bob) == (7, 7)


def test_a_failure_frees_the_idempotency_key(bob: Customer) -> None:
    for _ in range(2):
        answer = bob.api.get(f"{PATH}?how=raise", headers={"idempotency-key": "k1"})
        assert answer.status_code == 500


def test_a_refusal_is_the_views_answer(bob: Customer) -> None:
    bob.api.get(f"{PATH}?how=settle")
    for _ in range(16):
        ask(bob, "open")
    answer = ask(bob, "open")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_exceeded")
    assert counted(bob) == (487, 487)
