"""DELETE /usage/events/{event}: take back a tracked charge, within an hour, once."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left, problem
from usage.drain import drain
from usage.models import UsageLog, WindowUsage

pytestmark = pytest.mark.django_db


def track(customer: Customer, feature: str = "trace_start") -> str:
    return str(customer.post("/api/v1/usage/track", {"feature": feature}).json()["event"])


def void(customer: Customer, event: str) -> Any:
    return customer.api.delete(f"/api/v1/usage/events/{event}")


def used(customer: Customer) -> int:
    return int(customer.api.get("/api/v1/usage/current").json()["tokens_used"])


@pytest.fixture
def meter(customer: Callable[..., Customer]) -> Customer:
    """On starter, with a key that may void."""
    return customer("meter", "starter", scope="meter")


def test_the_tokens_come_back_and_the_log_keeps_both(meter: Customer) -> None:
    event = track(meter)
    response = void(meter, event)
    assert (response.status_code, response.content) == (204, b"")
    assert used(meter) == 0
    drain.drain()
    rows = UsageLog.objects.filter(event_id=event).order_by("tokens")
    assert [(row.kind, row.tokens) for row in rows] == [("void", -10), ("charge", 10)]
    assert WindowUsage.objects.get(account_id=meter.account).tokens == 0


def test_it_needs_the_scope_meter(bob: Customer) -> None:
    event = track(bob)
    problem(void(bob, event), 403, "forbidden")
    browser = Client()
    browser.force_login(bob.user)
    problem(browser.delete(f"/api/v1/usage/events/{event}"), 403, "forbidden")
    assert used(bob) == 10


def test_a_charge_of_the_gateway_is_not_voidable(meter: Customer) -> None:
    event = meter.api.get("/api/v1/trace/start")["X-Usage-Event"]
    problem(void(meter, event), 403, "not_voidable")
    failed = meter.api.get("/api/v1/trace/start?fail=500")["X-Usage-Event"]
    problem(void(meter, failed), 403, "not_voidable")
    assert used(meter) == 10


def test_other_peoples_charges_are_not_there(meter: Customer, dave: Customer) -> None:
    event = track(dave)
    problem(void(meter, event), 404, "not_found")
    assert used(dave) == 10
    assert void(dave, event).status_code == 204


def test_what_was_never_charged_is_not_there(meter: Customer) -> None:
    event = track(meter)
    drain.drain()
    (charge,) = UsageLog.objects.filter(event_id=event)
    void(meter, event)
    drain.drain()
    the_void = UsageLog.objects.get(event_id=event, kind="void")
    for unknown in (str(uuid.uuid4()), str(the_void.id), event.upper(), event.replace("-", ""), f"{event}x", "x"):
        problem(void(meter, unknown), 404, "not_found")
    assert charge.tokens == 10


def test_twice_is_a_conflict(meter: Customer) -> None:
    event = track(meter)
    assert void(meter, event).status_code == 204
    problem(void(meter, event), 409, "already_voided")
    drain.drain()
    problem(void(meter, event), 409, "already_voided")
    assert used(meter) == 0


@pytest.mark.parametrize(("seconds", "status"), [(3599, 204), (3600, 204), (3600.001, 409), (86400, 409)])
def test_within_an_hour(meter: Customer, seconds: float, status: int) -> None:
    with moved_by_hand() as clock:
        event = track(meter)
        clock.tick(seconds)
        response = void(meter, event)
        if status == 204:
            assert response.status_code == 204
        else:
            problem(response, 409, "too_late")
        assert used(meter) == (0 if status == 204 else 10)


def test_a_void_after_the_months_end_goes_to_the_old_window(meter: Customer) -> None:
    with moved_by_hand("2031-03-31T23:59:50Z") as clock:
        first, _ = track(meter), track(meter)
        clock.tick(20)
        track(meter, "risk_score")
        assert void(meter, first).status_code == 204
        assert used(meter) == 2
        drain.drain()
        by_window = dict(WindowUsage.objects.values_list("starts_at__month", "tokens"))
        assert by_window == {3: 10, 4: 2}
        assert {row.charged_at.month for row in UsageLog.objects.filter(event_id=first)} == {3}


def test_voiding_makes_room_for_another_call(customer: Callable[..., Customer]) -> None:
    one = customer("one", "community", scope="meter")
    events = [track(one) for _ in range(8)]
    assert one.post("/api/v1/usage/track", {"feature": "trace_start"}).status_code == 200
    assert void(one, events[0]).status_code == 204
    with moved_by_hand("2031-03-01T00:00:00Z"):
        assert used(one) == 0


def test_it_counts_none_of_the_minute(meter: Customer) -> None:
    event = track(meter)
    assert left(void(meter, event)) == {"minute": 29, "quota": 490}
    assert left(meter.api.get("/api/v1/usage/current"))["quota"] == 500


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_are_one(dave: Customer) -> None:
    event = track(dave)

    def once(_: int) -> int:
        try:
            return int(void(dave, event).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        assert sorted(threads.map(once, range(10))) == [204] + [409] * 9
    drain.drain()
    assert [row.tokens for row in UsageLog.objects.filter(event_id=event).order_by("tokens")] == [-10, 10]
    assert used(dave) == 0


def tracked_under(customer: Customer, key: str, **body: Any) -> Any:
    return customer.post("/api/v1/usage/track", {"feature": "risk_score"} | body, idempotency_key=key).json()


@pytest.mark.parametrize("drained", [False, True])
def test_a_voided_track_is_charged_anew_under_its_key(meter: Customer, drained: bool) -> None:
    first = tracked_under(meter, "k")
    assert tracked_under(meter, "k")["event"] == first["event"], "a repetition costs nothing"
    if drained:
        drain.drain()
    assert void(meter, first["event"]).status_code == 204
    if drained:
        drain.drain()
    second = tracked_under(meter, "k")
    assert second["event"] != first["event"]
    assert (second["tokens_used"], second["tokens_total"], used(meter)) == (2, 2, 2)
    assert tracked_under(meter, "k") == second, "the new charge is what its key stands for"
    drain.drain()
    assert WindowUsage.objects.get(account_id=meter.account).tokens == used(meter) == 2
    assert void(meter, second["event"]).status_code == 204
    third = tracked_under(meter, "k")
    assert third["event"] not in (first["event"], second["event"]) and used(meter) == 2
