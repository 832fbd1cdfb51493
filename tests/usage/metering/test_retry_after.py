"""Waiting as long as Retry-After says succeeds; a second less does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import Feature, LimitOverride, Plan, Subscription, TokenTopUp
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import PROBLEM, QUOTA_MEMBERS, problem
from tests.outages import no_redis

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
        seconds = customer.api.get(path).json()["retry_after"]
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


class TestLimitsThatChange:
    """Header, body, check and `t=` agree on when a limit changes, and waiting until then succeeds."""

    def override(self, customer: Customer, maximum: int | None, seconds: float, name: str = "minute") -> None:
        expires_at = timezone.now() + timedelta(seconds=seconds)
        LimitOverride.objects.create(account=customer.user, limit=name, maximum=maximum, expires_at=expires_at)

    def told(self, customer: Customer, path: str, policy: str = "minute") -> int:
        """What the refusal says, which is the same three times."""
        response = customer.api.get(path)
        assert response.status_code == 429
        seconds = response.json()["retry_after"]
        assert response["Retry-After"] == str(seconds)
        assert t_of(response, policy) == seconds
        return int(seconds)

    def passes_after(self, customer: Customer, clock: Any, path: str, seconds: int, policy: str = "minute") -> None:
        assert self.told(customer, path, policy) == seconds
        clock.tick(seconds - 1)
        assert self.told(customer, path, policy) == 1
        clock.tick(1)
        assert customer.api.get(path).status_code == 200

    def test_none_a_minute(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 0, 15)
        self.passes_after(alice, clock, "/api/v1/usage/current", 15)

    @pytest.mark.parametrize(("ends_in", "waits"), [(12, 12), (11.2, 12), (59, 59), (61, 60), (86400, 60)])
    def test_fewer_a_minute(self, alice: Customer, clock: Any, ends_in: float, waits: int) -> None:
        self.override(alice, 2, ends_in)
        for _ in range(2):
            alice.api.get("/api/v1/usage/current")
        self.passes_after(alice, clock, "/api/v1/usage/current", waits)

    @pytest.mark.parametrize("used_at_once", [True, False])
    def test_more_a_minute_than_the_plan(self, alice: Customer, clock: Any, used_at_once: bool) -> None:
        """The plan's ten a minute are below the twenty that were used: eleven of them have to leave."""
        self.override(alice, 20, 30)
        for _ in range(20):
            assert alice.api.get("/api/v1/usage/current").status_code == 200
            clock.tick(0 if used_at_once else 1)
        self.passes_after(alice, clock, "/api/v1/usage/current", 60 if used_at_once else 50)

    def test_an_end_that_lowers_the_limit_only_after_the_wait(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 20, 70)
        for _ in range(20):
            alice.api.get("/api/v1/usage/current")
        self.passes_after(alice, clock, "/api/v1/usage/current", 60)

    def test_several_that_follow_each_other(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 1, 40)
        self.override(alice, 0, 20)
        self.passes_after(alice, clock, "/api/v1/usage/current", 20)
        assert self.told(alice, "/api/v1/usage/current") == 20

    def test_no_whole_second_lies_in_a_gap_between_two(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 0, 20)
        self.override(alice, 5, 10.5)
        self.override(alice, 0, 10.2)
        self.passes_after(alice, clock, "/api/v1/usage/current", 20)

    def test_of_a_quota(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 0, 600, "quota")
        self.passes_after(alice, clock, "/api/v1/trace/start", 600, "quota")

    def test_of_a_quota_beyond_the_month(self, alice: Customer, settings: Any) -> None:
        settings.RETRY_AFTER_MOST = 10**9
        self.override(alice, 0, TO_APRIL + 3600, "quota")
        assert self.told(alice, "/api/v1/trace/start", "quota") == TO_APRIL + 3600

    def test_of_an_end_that_nobody_waits_for(self, alice: Customer) -> None:
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=0, expires_at="9999-12-31T23:59:59Z")
        response = alice.api.get("/api/v1/trace/start")
        assert (response.json()["retry_after"], "Retry-After" in response) == (None, False)

    def test_of_minute_and_quota_together(self, alice: Customer, clock: Any) -> None:
        """While one of them has room the other has none, until both have."""
        self.override(alice, 0, 30)
        self.override(alice, 5, 40, "quota")
        response = alice.api.get("/api/v1/trace/start")
        assert (response.json()["code"], response.json()["retry_after"]) == ("quota_exceeded", 40)
        assert (t_of(response, "minute"), t_of(response, "quota")) == (30, 40)
        clock.tick(39)
        assert alice.api.get("/api/v1/trace/start").status_code == 429
        clock.tick(1)
        assert alice.api.get("/api/v1/trace/start").status_code == 200

    def test_of_check(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 1, 12)
        response = alice.post("/api/v1/usage/check", {"feature": "risk_score"})
        assert (response.json()["code"], response.json()["retry_after"]) == ("rate_limited", 12)
        assert t_of(response, "minute") == 12

    def test_of_a_served_call(self, alice: Customer, clock: Any) -> None:
        self.override(alice, 2, 12)
        assert t_of(alice.api.get("/api/v1/usage/current"), "minute") == 12
        clock.tick(12)
        assert t_of(alice.api.get("/api/v1/usage/current"), "minute") == 48

    def test_of_a_top_up_that_ends(self, alice: Customer, clock: Any) -> None:
        """An end takes away, so nobody is told to wait for it."""
        limit(alice, "minute", None)
        TokenTopUp.objects.create(account=alice.user, tokens=10, expires_at=timezone.now() + timedelta(seconds=30))
        response = alice.api.get("/api/v1/trace/start")
        assert t_of(response, "quota") == TO_APRIL

    def test_of_a_scheduled_plan(self, alice: Customer, clock: Any) -> None:
        limit(alice, "minute", None)
        Subscription.objects.get(account=alice.user).schedule(
            Plan.objects.get(code="starter"), timezone.now() + timedelta(seconds=20), timezone.now()
        )
        for _ in range(10):
            alice.api.get("/api/v1/trace/start")
        self.passes_after(alice, clock, "/api/v1/trace/start", 20, "quota")

    def test_of_a_scheduled_plan_that_lacks_the_feature(self, dave: Customer) -> None:
        self.override(dave, 2, 30, "quota")
        Subscription.objects.get(account=dave.user).schedule(
            Plan.objects.get(code="community"), timezone.now() + timedelta(seconds=20), timezone.now()
        )
        response = dave.api.get("/api/v1/agent/query")
        assert (response.json()["code"], response.json()["retry_after"]) == ("quota_exceeded", None)

    def test_without_redis(self, alice: Customer, clock: Any, settings: Any) -> None:
        self.override(alice, 2, 12)
        with no_redis(settings):
            assert alice.api.get("/api/v1/usage/current").status_code == 200
            assert self.told(alice, "/api/v1/usage/current") == 12


def t_of(response: Any, policy: str) -> int | None:
    (state,) = [state for state in response["RateLimit"].split(", ") if state.startswith(f'"{policy}"')]
    parameters = dict(part.split("=") for part in state.split(";")[1:])
    return int(parameters["t"]) if "t" in parameters else None
