"""Waiting as long as Retry-After says succeeds; a second less does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Feature, LimitOverride, Plan, TokenTopUp
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import PROBLEM, QUOTA_MEMBERS, problem

pytestmark = pytest.mark.django_db
TO_APRIL = 17 * 86400 + 13 * 3600 + 39 * 60 + 30
"""Whole seconds, rounded up, from the frozen instant to the month's end."""


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with moved_by_hand() as clock:
        yield clock


def limit(customer: Customer, name: str, maximum: int | None) -> None:
    LimitOverride.objects.create(account=customer.user, limit=name, maximum=maximum)


class TestTruth:
    def wait(self, customer: Customer, clock: Any, path: str) -> None:
        seconds = int(customer.api.get(path)["Retry-After"])
        clock.tick(seconds - 1)
        assert customer.api.get(path).status_code == 429
        assert customer.api.get(path)["Retry-After"] == "1"
        clock.tick(1)
        assert customer.api.get(path).status_code == 200

    @pytest.mark.parametrize("passed", [0, 0.001, 0.999, 1, 31.4, 59, 59.999])
    def test_of_the_minute(self, alice: Customer, clock: Any, passed: float) -> None:
        for _ in range(10):
            alice.api.get("/api/v1/usage/current")
        clock.tick(passed)
        self.wait(alice, clock, "/api/v1/usage/current")

    def test_of_a_minute_that_was_spread_out(self, alice: Customer, clock: Any) -> None:
        for _ in range(10):
            alice.api.get("/api/v1/usage/current")
            clock.tick(3.7)
        self.wait(alice, clock, "/api/v1/usage/current")
        assert alice.api.get("/api/v1/usage/current").status_code == 429

    @pytest.mark.parametrize("start", ["2031-03-14T10:20:30.400Z", "2031-03-31T23:59:59.001Z", "2032-02-28T00:00:00Z"])
    def test_of_the_months_quota(self, alice: Customer, clock: Any, start: str) -> None:
        clock.move_to(start)
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_a_quota_by_billing_period(self, customer: Callable[..., Customer], clock: Any) -> None:
        Plan.objects.filter(code="community").update(quota_window="billing_period")
        alice = customer("alice", "community")
        clock.move_to("2031-05-10T08:00:00Z")
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        body = alice.api.get("/api/v1/trace/start").json()
        assert body["resets_at"] == "2031-05-14T10:20:30Z"
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_an_override_that_ends_before_the_month(self, alice: Customer, clock: Any) -> None:
        expires_at = timezone.now() + timedelta(minutes=10)
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=5, expires_at=expires_at)
        response = alice.api.get("/api/v1/trace/start")
        assert response.json()["retry_after"] == 600
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_of_a_top_up_that_is_still_to_come(self, alice: Customer, clock: Any) -> None:
        TokenTopUp.objects.create(account=alice.user, tokens=10, starts_at=timezone.now() + timedelta(seconds=90))
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        self.wait(alice, clock, "/api/v1/trace/start")

    def test_what_only_a_top_up_has_room_for_will_not_fit_next_month(self, alice: Customer) -> None:
        TokenTopUp.objects.create(account=alice.user, tokens=50)
        Feature.objects.filter(code="trace_start").update(tokens=101)
        assert alice.api.get("/api/v1/trace/start").status_code == 200
        response = alice.api.get("/api/v1/trace/start")
        assert (response.status_code, response.json()["retry_after"]) == (429, None)
        assert "Retry-After" not in response
        assert alice.post("/api/v1/usage/check", {"feature": "trace_start"}).json()["retry_after"] is None

    def test_where_neither_wait_helps_the_quota_is_told(self, alice: Customer) -> None:
        limit(alice, "minute", 0)
        limit(alice, "quota", 0)
        body = problem(alice.api.get("/api/v1/trace/start"), 429, "quota_exceeded", QUOTA_MEMBERS - PROBLEM)
        assert (body["violated-policies"], body["retry_after"]) == (["minute", "quota"], None)

    def test_of_check(self, alice: Customer, clock: Any) -> None:
        limit(alice, "minute", None)
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        answer = alice.post("/api/v1/usage/check", {"feature": "risk_score"}).json()
        assert (answer["code"], answer["retry_after"]) == ("quota_exceeded", TO_APRIL)
