"""GET /usage/current: where an account stands, every call answered before included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
from django.utils import timezone

from billing.models import Feature, LimitOverride, Plan, Subscription, TokenTopUp
from billing.subscriptions.period_end import renewal
from ratelimit import process_state
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem
from usage.drain import drain

pytestmark = pytest.mark.django_db
CURRENT = "/api/v1/usage/current"
CustomerOn: TypeAlias = Callable[..., Customer]


def test_the_example_of_the_contract(alice: Customer) -> None:
    with moved_by_hand("2031-10-16T12:00:00Z"):
        for _ in range(9):
            alice.api.get("/api/v1/trace/start")
        assert alice.api.get(CURRENT).json() == {
            "tokens_used": 90,
            "quota": 100,
            "tokens_remaining": 10,
            "overage": None,
            "quota_percentage": 90.0,
            "resets_at": "2031-11-01T00:00:00Z",
            "plan": "community",
            "suggestion": None,
            "budgets": [],
        }


def test_an_unlimited_plan_says_so_and_goes_on_counting(carol: Customer) -> None:
    carol.api.get("/api/v1/trace/start")
    body = carol.api.get(CURRENT).json()
    assert (body["quota"], body["tokens_remaining"], body["quota_percentage"]) == ("unlimited", "unlimited", 0)
    assert (body["tokens_used"], body["plan"]) == (10, "pro")


@pytest.mark.parametrize(("quota", "percentage"), [(0, 100.0), (3, 66.7), (2, 100.0), (1, 200.0), (2000, 0.1)])
def test_percentages(alice: Customer, quota: int, percentage: float) -> None:
    alice.api.get("/api/v1/risk/score")
    drain.drain()
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=quota)
    from tests.conftest import forget_everything

    forget_everything()
    body = alice.api.get(CURRENT).json()
    assert (body["tokens_used"], body["quota_percentage"]) == (2, percentage)
    assert body["tokens_remaining"] == max(quota - 2, 0)


def test_a_top_up_raises_the_quota_of_this_window_only(alice: Customer) -> None:
    with moved_by_hand("2031-03-14T00:00:00Z") as clock:
        TokenTopUp.objects.create(account=alice.user, tokens=50)
        assert alice.api.get(CURRENT).json()["quota"] == 150
        clock.move_to("2031-03-31T23:59:59.999Z")
        assert alice.api.get(CURRENT).json()["quota"] == 150
        clock.move_to("2031-04-01T00:00:00Z")
        assert alice.api.get(CURRENT).json()["quota"] == 100


def test_a_month_begins_with_nothing_used(alice: Customer) -> None:
    with moved_by_hand("2032-02-29T23:59:59.999Z") as clock:
        alice.api.get("/api/v1/trace/start")
        body = alice.api.get(CURRENT).json()
        assert (body["tokens_used"], body["resets_at"]) == (10, "2032-03-01T00:00:00Z")
        clock.tick(0.001)
        body = alice.api.get(CURRENT).json()
        assert (body["tokens_used"], body["resets_at"]) == (0, "2032-04-01T00:00:00Z")


def test_the_window_may_be_the_billing_period(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2031-01-31T12:00:00Z") as clock:
        Plan.objects.filter(code="starter").update(quota_window="billing_period")
        one = customer("one", "starter")
        for now, end in (
            ("2031-01-31T12:00:00Z", "2031-02-28T12:00:00Z"),
            ("2031-02-28T11:59:59.999Z", "2031-02-28T12:00:00Z"),
            ("2031-02-28T12:00:00Z", "2031-03-31T12:00:00Z"),
            ("2031-03-31T12:00:00Z", "2031-04-30T12:00:00Z"),
        ):
            clock.move_to(now)
            assert one.api.get(CURRENT).json()["resets_at"] == end
            one.api.get("/api/v1/risk/score")
        assert one.api.get(CURRENT).json()["tokens_used"] == 2


class TestChangesOfPlan:
    """Whatever plans follow each other, no allowance is granted twice and none that was paid is taken away (L9)."""

    def change(self, one: Customer, plan: str) -> None:
        Subscription.objects.get(account=one.user).put_on(Plan.objects.get(code=plan), timezone.now())
        process_state.start_anew()

    def stands(self, one: Customer) -> tuple[Any, ...]:
        body = one.api.get(CURRENT).json()
        return body["tokens_used"], body["quota"], body["resets_at"]

    @pytest.fixture
    def by_period(self, catalogue: None) -> None:
        """Another plan like community, whose window is the billing period."""
        limits = {"monthly_token_quota": 100, "requests_per_minute": 10}
        Plan.objects.create(code="other", name="Other", price=0, quota_window="billing_period", **limits)

    def test_there_and_back_between_the_kinds_is_one_quota(self, by_period: None, customer: CustomerOn) -> None:
        with moved_by_hand("2031-02-20T00:00:00Z") as clock:
            one = customer("one", "community")
            clock.move_to("2031-03-28T00:00:00Z")
            for _ in range(9):
                one.api.get("/api/v1/trace/start")
            clock.tick(60)
            for plan in ("other", "community", "other"):
                self.change(one, plan)
                assert self.stands(one) == (90, 100, "2031-04-01T00:00:00Z")
            clock.move_to("2031-04-01T00:00:00Z")
            assert self.stands(one) == (0, 100, "2031-04-20T00:00:00Z")

    def test_a_top_up_counts_in_one_window(self, by_period: None, customer: CustomerOn) -> None:
        with moved_by_hand("2031-02-20T00:00:00Z") as clock:
            one = customer("one", "community")
            clock.move_to("2031-03-25T00:00:00Z")
            TokenTopUp.objects.create(account=one.user, tokens=40)
            clock.move_to("2031-03-26T00:00:00Z")
            self.change(one, "other")
            assert self.stands(one) == (0, 140, "2031-04-01T00:00:00Z")
            clock.move_to("2031-04-01T00:00:00Z")
            assert self.stands(one) == (0, 100, "2031-04-20T00:00:00Z")

    def test_the_quota_after_an_unlimited_plan_counts_from_the_change(self, customer: CustomerOn) -> None:
        Feature.objects.filter(code="trace_start").update(tokens=300)
        with moved_by_hand("2031-02-10T00:00:00Z") as clock:
            one = customer("one", "pro")
            clock.move_to("2031-03-05T00:00:00Z")
            assert one.post("/api/v1/billing/downgrade", {"target_plan": "starter"}).status_code == 200
            process_state.start_anew()
            for _ in range(2):
                assert one.api.get("/api/v1/trace/start").status_code == 200
            clock.move_to("2031-03-09T23:59:59.999Z")
            assert self.stands(one) == (600, "unlimited", "2031-04-01T00:00:00Z")
            clock.move_to("2031-03-10T00:00:00Z")
            assert one.api.get("/api/v1/trace/start").status_code == 200
            assert self.stands(one) == (300, 500, "2031-04-01T00:00:00Z")
            assert renewal.renew_due(timezone.now()).changed == 1
            process_state.start_anew()
            assert self.stands(one) == (300, 500, "2031-04-01T00:00:00Z")
            assert one.api.get("/api/v1/trace/start").status_code == 429
            drain.drain()
            assert one.api.get("/api/v1/usage/breakdown").json() == {"trace_start": 300, "total": 300}
            clock.move_to("2031-04-01T00:00:00Z")
            assert self.stands(one) == (0, 500, "2031-05-01T00:00:00Z")

    def test_what_an_unlimited_plan_used_does_not_block_the_period_that_follows_it(self, customer: CustomerOn) -> None:
        """Up within a period, down at its end, and the calendar month goes on: the next period's quota is paid."""
        Feature.objects.filter(code="trace_start").update(tokens=300)
        with moved_by_hand("2031-02-10T00:00:00Z") as clock:
            one = customer("one", "starter")
            clock.move_to("2031-03-05T00:00:00Z")
            assert one.api.get("/api/v1/trace/start").status_code == 200
            assert one.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).status_code == 200
            assert one.post("/api/v1/billing/downgrade", {"target_plan": "starter"}).status_code == 200
            process_state.start_anew()
            for _ in range(2):
                assert one.api.get("/api/v1/trace/start").status_code == 200
            clock.move_to("2031-03-09T23:59:59.999Z")
            assert self.stands(one) == (900, "unlimited", "2031-04-01T00:00:00Z")
            clock.move_to("2031-03-10T00:00:00Z")
            assert one.api.get("/api/v1/trace/start").status_code == 200
            assert self.stands(one) == (300, 500, "2031-04-01T00:00:00Z")
            assert renewal.renew_due(timezone.now()).changed == 1
            process_state.start_anew()
            assert self.stands(one) == (300, 500, "2031-04-01T00:00:00Z")
            assert one.api.get("/api/v1/trace/start").status_code == 429
            clock.move_to("2031-04-01T00:00:00Z")
            assert self.stands(one) == (0, 500, "2031-05-01T00:00:00Z")

    def test_up_to_unlimited_and_down_again_is_one_quota(self, alice: Customer) -> None:
        with moved_by_hand("2031-03-05T00:00:00Z"):
            alice.api.get("/api/v1/trace/start")
            self.change(alice, "pro")
            assert self.stands(alice) == (10, "unlimited", "2031-04-01T00:00:00Z")
            self.change(alice, "community")
            assert self.stands(alice) == (10, 100, "2031-04-01T00:00:00Z")


def test_it_takes_no_parameters(alice: Customer) -> None:
    assert list(problem(alice.api.get(f"{CURRENT}?from=x"), 400, "invalid", {"errors"})["errors"]) == ["from"]
    assert alice.api.get(f"{CURRENT}?format=json").status_code == 200
