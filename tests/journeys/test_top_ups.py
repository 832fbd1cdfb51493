"""A top-up is spent before the plan's own tokens, and what lapses takes nothing of them: over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing.models import LimitOverride, Plan, Subscription, TokenPack, TokenTopUp
from ratelimit import process_state
from tests.cast import Customer
from tests.top_ups import ARRIVED, TRACE, ann, clock, exhaust, spent, stands, top_up, use
from usage.metering.reset import reset_usage

__all__ = ["ann", "clock"]
pytestmark = pytest.mark.django_db(transaction=True)
TRACK = "/api/v1/usage/track"


class TestALapse:
    def test_takes_nothing_of_the_plans_tokens(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 40)
        assert stands(ann) == (40, 150, 110)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (40, 140, 100)
        assert exhaust(ann) == 100
        clock.move_to("2031-04-01T00:00:00Z")
        assert stands(ann) == (0, 100, 100)

    def test_is_judged_right_by_the_very_first_call_after_it(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 40)
        clock.tick(timedelta(days=3))
        assert exhaust(ann) == 100

    def test_of_an_unused_one_gives_nothing(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (0, 100, 100)

    def test_use_beyond_it_is_the_plans(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 80)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (80, 150, 70)
        assert exhaust(ann) == 70

    def test_that_which_lapses_first_is_spent_first(self, ann: Customer, clock: Any) -> None:
        for days in (6, 3, None):
            top_up(ann, 30, days)
        use(ann, 40)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (40, 190, 150)
        use(ann, 10)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (50, 180, 130), "10 of the second one have lapsed"
        clock.tick(ARRIVED)
        stands(ann)
        assert spent() == [20, 30, None]

    def test_edges_are_to_the_millisecond(self, ann: Customer, clock: Any) -> None:
        top_up(ann, 50, 1 / 86_400)
        clock.tick(timedelta(milliseconds=999))
        use(ann, 20)
        clock.tick(timedelta(milliseconds=1))
        use(ann, 10)
        assert stands(ann) == (30, 120, 90)
        assert exhaust(ann) == 90

    def test_of_a_pack_that_was_bought(self, ann: Customer, clock: Any) -> None:
        TokenPack.objects.create(code="p", name="P", tokens=50, price=9, valid_days=3, counts_at_once=True)
        assert ann.post("/api/v1/billing/token-packs/p", None).json()["valid_until"] == "2031-03-08T12:00:00Z"
        use(ann, 40)
        clock.move_to("2031-03-08T12:00:00Z")
        assert stands(ann) == (40, 140, 100)
        clock.move_to("2031-03-09T12:00:00Z")
        assert ann.post("/api/v1/billing/token-packs/p", None).status_code == 201
        assert stands(ann) == (40, 190, 150)
        assert exhaust(ann) == 150

    def test_retry_after_is_true_beyond_it(self, ann: Customer, clock: Any) -> None:
        top_up(ann, 50, 1)
        exhaust(ann)
        until = timezone.now() + timedelta(days=2)
        LimitOverride.objects.create(account=ann.user, limit="quota", maximum=0, expires_at=until)
        TokenTopUp.objects.create(account=ann.user, tokens=10, starts_at=until + timedelta(days=1))
        waits = ann.api.get(TRACE).json()["retry_after"]
        assert waits > 3 * 86_400, "that a lapse leaves enough is not foreseen"
        clock.tick(timedelta(days=1))
        assert ann.api.get(TRACE).json()["retry_after"] == 2 * 86_400
        clock.tick(2 * 86_400 - 1)
        assert ann.api.get(TRACE).status_code == 429
        clock.tick(1)
        assert ann.api.get(TRACE).status_code == 200


class TestChangesOfPlan:
    """It belongs to one window, whatever kinds of window meet."""

    def test_within_its_window_it_lapses_on_the_plan_that_is_there_then(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 40)
        assert ann.post("/api/v1/billing/upgrade", {"target_plan": "starter"}).status_code == 200
        assert stands(ann) == (40, 550, 510)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (40, 540, 500)
        assert ann.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).status_code == 200
        use(ann, 100)
        put_on(ann, "community")
        assert stands(ann) == (140, 140, 0)

    def test_the_end_of_a_period_ends_it(self, ann: Customer, clock: Any) -> None:
        assert ann.post("/api/v1/billing/upgrade", {"target_plan": "starter"}).status_code == 200
        assert ann.post("/api/v1/billing/downgrade", {"target_plan": "community"}).status_code == 200
        clock.move_to("2031-04-04T12:00:00Z")
        top_up(ann)
        use(ann, 20)
        assert stands(ann) == (20, 550, 530)
        for now in ("2031-04-05T12:00:00Z", "2031-04-07T12:00:00Z", "2031-04-08T12:00:00Z"):
            clock.move_to(now)
            assert stands(ann) == (0, 100, 100)
        assert spent() == [None]

    def test_of_a_window_that_was_kept(self, ann: Customer, clock: Any) -> None:
        limits = {"monthly_token_quota": 100, "requests_per_minute": 10}
        Plan.objects.create(code="other", name="Other", price=0, quota_window="billing_period", **limits)
        clock.move_to("2031-03-19T12:00:00Z")
        top_up(ann)
        use(ann, 40)
        put_on(ann, "other")
        clock.move_to("2031-03-22T12:00:00Z")
        assert stands(ann) == (40, 140, 100)
        clock.move_to("2031-04-01T00:00:00Z")
        assert stands(ann) == (0, 100, 100)
        clock.move_to("2031-04-04T12:00:00Z")
        top_up(ann)
        use(ann, 20)
        put_on(ann, "community")
        assert stands(ann) == (20, 150, 130)
        clock.move_to("2031-04-05T12:00:00Z")
        assert stands(ann) == (0, 100, 100)


def put_on(customer: Customer, plan: str) -> None:
    Subscription.objects.get(account=customer.user).put_on(Plan.objects.get(code=plan), timezone.now())
    process_state.start_anew()


class TestGivenBack:
    def event(self, customer: Customer) -> str:
        return str(customer.post(TRACK, {"feature": "trace_start"}).json()["event"])

    def void(self, customer: Customer, event: str) -> None:
        assert customer.api.delete(f"/api/v1/usage/events/{event}").status_code == 204

    def test_before_the_lapse_it_was_not_spent(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 30)
        self.void(ann, self.event(ann))
        clock.tick(timedelta(days=3))
        assert stands(ann) == (30, 130, 100)

    def test_after_it_it_stays_the_accounts_to_the_windows_end(self, ann: Customer, clock: Any) -> None:
        top_up(ann, 50, 1 / 24)
        use(ann, 30)
        clock.tick(59 * 60)
        event = self.event(ann)
        clock.tick(60 + ARRIVED)
        assert stands(ann) == (40, 140, 100)
        self.void(ann, event)
        assert stands(ann) == (30, 140, 110)
        assert exhaust(ann) + 30 <= 150, "never more than was granted"

    def test_a_reset_before_the_lapse(self, ann: Customer, clock: Any) -> None:
        top_up(ann)
        use(ann, 40)
        clock.tick(60)
        reset_usage(ann.account, timezone.now(), reason="a bug", by="sue")
        clock.tick(60)
        assert stands(ann) == (0, 150, 150)
        use(ann, 20)
        clock.tick(timedelta(days=3))
        assert stands(ann) == (20, 120, 100)

    @pytest.mark.parametrize("after", [1, ARRIVED])
    def test_a_reset_after_it(self, ann: Customer, clock: Any, after: int) -> None:
        top_up(ann)
        use(ann, 80)
        clock.tick(timedelta(days=3, seconds=after))
        assert stands(ann) == (80, 150, 70)
        clock.tick(1)
        reset_usage(ann.account, timezone.now(), reason="a bug", by="sue")
        assert stands(ann) == (0, 100, 100)
        clock.tick(ARRIVED)
        assert stands(ann) == (0, 100, 100)
        assert spent() == [0]
        assert exhaust(ann) == 100
