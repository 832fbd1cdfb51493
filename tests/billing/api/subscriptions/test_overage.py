"""Tokens above the quota over HTTP: what is sold, what was used, the customer's own cap, and what a 429 says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from billing.fence import push
from billing.models import OutboxMessage, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.api.subscriptions.plan_changes import SUBSCRIPTION, UPGRADE, refused
from tests.billing.metered import make_metered
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import QUOTA_MEMBERS, policies, problem, standings
from usage.drain import drain

pytestmark = pytest.mark.django_db(transaction=True)
OVERAGE, CURRENT, CHECK, TRACK = (
    "/api/v1/billing/overage",
    "/api/v1/usage/current",
    "/api/v1/usage/check",
    "/api/v1/usage/track",
)
TRACE = "/api/v1/trace/start"  # 10 tokens


@pytest.fixture
def mia(customer: Callable[..., Customer]) -> Customer:
    """15 tokens a period, then up to 20 more at 50.00 for 1,000."""
    make_metered(monthly_token_quota=15, overage_cap_tokens=20, overage_price=50)
    return customer("mia", "metered")


def cap(customer: Customer, tokens: Any) -> Any:
    return customer.api.put(OVERAGE, {"cap_tokens": tokens}, content_type="application/json")


def current(customer: Customer) -> dict[str, Any]:
    found: dict[str, Any] = customer.api.get(CURRENT).json()
    return found


def above(used: int, cap_tokens: int = 20) -> dict[str, Any]:
    amount = used * 5 / 100
    left = max(cap_tokens - used, 0)
    return {
        "tokens_used": used,
        "cap_tokens": cap_tokens,
        "tokens_remaining": left,
        "amount": amount,
        "currency": "USD",
    }


class TestWords:
    """What is included and what is extra stand apart, wherever an answer tells of them."""

    @pytest.mark.parametrize(
        ("calls", "remaining", "percentage", "extra"),
        [(0, 15, 0.0, 0), (1, 5, 66.7, 0), (2, 0, 133.3, 5), (3, 0, 200.0, 15)],
    )
    def test_current(self, mia: Customer, calls: int, remaining: int, percentage: float, extra: int) -> None:
        for _ in range(calls):
            assert mia.api.get(TRACE).status_code == 200
        body = current(mia)
        assert (body["tokens_used"], body["quota"], body["tokens_remaining"]) == (10 * calls, 15, remaining)
        assert (body["quota_percentage"], body["overage"]) == (percentage, above(extra))

    def test_headers(self, mia: Customer) -> None:
        for quota, extra in ((5, 20), (0, 15), (0, 5)):
            response = mia.api.get(TRACE)
            found = {name: left for name, (left, _) in standings(response).items()}
            assert (found["quota"], found["overage"]) == (quota, extra)
            assert standings(response)["quota"][1] == standings(response)["overage"][1], "until the window ends"
        assert {name: quantity for name, (quantity, _) in policies(response).items()} == {"quota": 15, "overage": 20}
        assert policies(response)["quota"][1] == policies(response)["overage"][1]
        assert response["X-RateLimit-Limit"] == "15", "of the first policy"

    def test_track_and_check(self, mia: Customer) -> None:
        for _ in range(2):
            body = mia.post(TRACK, {"feature": "trace_start"}).json()
        assert (body["tokens_total"], body["tokens_remaining"], body["overage"]) == (20, 0, above(5))
        asked = mia.post(CHECK, {"feature": "trace_start"}).json()
        assert (asked["allowed"], asked["tokens_remaining"], asked["overage"]) == (True, 0, above(5))

    def test_a_refusal_says_that_the_cap_is_reached_and_what_to_do(self, mia: Customer) -> None:
        for _ in range(3):
            mia.api.get(TRACE)
        body = problem(mia.api.get(TRACE), 429, "quota_exceeded", QUOTA_MEMBERS)
        assert (body["quota"], body["tokens_used"], body["tokens_remaining"]) == (15, 30, 0)
        assert (body["overage"], body["violated-policies"]) == (above(15), ["quota"])
        assert "PUT /api/v1/billing/overage" in body["detail"] and "20 tokens" in body["detail"]
        assert body["retry_after"] > 0

    def test_waiting_as_long_as_it_says_succeeds(self, customer: Callable[..., Customer], catalogue: None) -> None:
        with moved_by_hand("2031-03-10T00:00:00Z") as clock:
            make_metered(monthly_token_quota=15, overage_cap_tokens=20, overage_price=50)
            mia = customer("mia", "metered")
            for _ in range(3):
                mia.api.get(TRACE)
            wait = mia.api.get(TRACE).json()["retry_after"]
            clock.tick(wait - 1)
            assert mia.api.get(TRACE).status_code == 429
            clock.tick(1)
            assert mia.api.get(TRACE).status_code == 200

    def test_plans_without_say_null(self, alice: Customer) -> None:
        assert current(alice)["overage"] is None
        assert alice.api.get(SUBSCRIPTION).json()["overage"] is None
        assert "overage" not in policies(alice.api.get(TRACE))
        assert alice.api.get("/api/v1/plans/community").json()["overage"] is None

    def test_the_catalogue_shows_the_price(self, mia: Customer) -> None:
        Plan.objects.filter(code="metered").update(overage_price="0.0525")
        assert mia.api.get("/api/v1/plans/metered").json()["overage"] == {"price_per_1000": 0.0525, "cap_tokens": 20}

    def test_the_subscription_shows_what_it_costs_up_to_now(self, mia: Customer) -> None:
        for _ in range(2):
            mia.api.get(TRACE)
        drain.drain()
        assert mia.api.get(SUBSCRIPTION).json()["overage"] == above(5) | {"price_per_1000": 50}

    def test_an_edited_price_is_shown_once_it_is_in_force(
        self, customer: Callable[..., Customer], catalogue: None
    ) -> None:
        with moved_by_hand("2031-03-10T00:00:00Z") as clock:
            plan = make_metered(monthly_token_quota=5, overage_cap_tokens=20, overage_price=50)
            mia = customer("mia", "metered")
            mia.api.get(TRACE)
            plan.overage_price = 100
            plan.save()
            assert current(mia)["overage"]["amount"] == 0.25, "as the period was sold"
            clock.move_to("2031-04-10T00:00:00Z")
            mia.api.get(TRACE)
            assert current(mia)["overage"]["amount"] == 0.5, "also before the renewal"
            renewal.renew_due(timezone.now())
            push.sweep()  # as beat does every second
            plan.overage_price = 900
            plan.save()
            assert current(mia)["overage"]["amount"] == 0.5, "and of a plan that was edited after it"


class TestCap:
    def test_it_acts_on_the_next_call_and_is_told(self, mia: Customer) -> None:
        answer = cap(mia, 0)
        assert answer.status_code == 200
        assert answer.json() == {"message": "Your quota is the end.", "cap_tokens": 0}
        assert [mia.api.get(TRACE).status_code for _ in range(2)] == [200, 429]
        assert current(mia)["overage"] == above(0, cap_tokens=0)
        assert cap(mia, 5).json()["cap_tokens"] == 5
        assert [mia.api.get(TRACE).status_code for _ in range(2)] == [200, 429]
        assert cap(mia, None).json() == {"message": "At most 20 tokens above the quota are sold.", "cap_tokens": 20}
        assert mia.api.get(TRACE).status_code == 200
        messages = OutboxMessage.objects.filter(kind="overage.cap_set").order_by("pk")
        assert [message.payload.get("cap_tokens") for message in messages] == [0, 5, None]

    def test_lowered_below_what_was_used_it_takes_nothing_back(self, mia: Customer) -> None:
        for _ in range(3):
            mia.api.get(TRACE)
        cap(mia, 2)
        assert mia.api.get(TRACE).status_code == 429
        assert current(mia)["overage"] == above(15, cap_tokens=2)

    @pytest.mark.parametrize(("used_calls", "cap_tokens", "status"), [(1, 4, 429), (1, 5, 200), (1, 6, 200)])
    def test_to_the_token(self, mia: Customer, used_calls: int, cap_tokens: int, status: int) -> None:
        cap(mia, cap_tokens)
        for _ in range(used_calls):
            assert mia.api.get(TRACE).status_code == 200
        assert mia.api.get(TRACE).status_code == status

    def test_it_stays_over_changes_of_plan(self, mia: Customer) -> None:
        cap(mia, 3)
        make_metered("larger", 62, 50, monthly_token_quota=30)
        assert mia.post(UPGRADE, {"target_plan": "larger"}).status_code == 200
        assert current(mia)["overage"]["cap_tokens"] == 3

    @pytest.mark.parametrize("tokens", [-1, 10**15, 1.5, "many", "10", "１２", True, [], {}])
    def test_what_is_no_cap(self, mia: Customer, tokens: Any) -> None:
        assert list(refused(cap(mia, tokens), 400, "invalid")["errors"]) == ["cap_tokens"]

    def test_it_has_to_be_given_and_nothing_else(self, mia: Customer) -> None:
        for body, field in (({}, "cap_tokens"), ({"cap_tokens": 1, "cap": 2}, "cap")):
            answer = mia.api.put(OVERAGE, body, content_type="application/json")
            assert list(refused(answer, 400, "invalid")["errors"]) == [field]

    def test_a_plan_without_overage_has_no_cap(self, alice: Customer) -> None:
        body = refused(cap(alice, 5), 409, "no_overage")
        assert body["detail"] == "Community sells no tokens above the quota: there is no cap to set."

    def test_a_plan_that_begins_to_sell_does_so_with_the_next_period(
        self, customer: Callable[..., Customer], catalogue: None
    ) -> None:
        with moved_by_hand("2031-03-10T00:00:00Z") as clock:
            plan = make_metered(monthly_token_quota=5, overage_price=None)
            mia = customer("mia", "metered")
            plan.overage_price = 50
            plan.save()
            assert cap(mia, 5).status_code == 200, "before anything is sold"
            assert mia.api.get(TRACE).status_code == 429
            clock.move_to("2031-04-10T00:00:00Z")
            assert mia.api.get(TRACE).status_code == 200
            assert cap(mia, 0).status_code == 200
            assert mia.api.get(TRACE).status_code == 429

    def test_it_can_be_set_in_a_trial_for_what_follows(
        self, customer: Callable[..., Customer], catalogue: None
    ) -> None:
        with moved_by_hand("2031-03-10T00:00:00Z") as clock:
            mia = customer("mia", "community")
            make_metered(monthly_token_quota=5, trial_days=14)
            assert mia.post(UPGRADE, {"target_plan": "metered"}).json()["trial_ends_at"] is not None
            assert cap(mia, 0).status_code == 200
            clock.move_to("2031-03-25T00:00:00Z")
            renewal.renew_due(timezone.now())
            assert mia.api.get(TRACE).status_code == 429

    def test_one_key_is_one_cap(self, mia: Customer) -> None:
        key = {"idempotency-key": "k"}
        first, again = (
            mia.api.put(OVERAGE, {"cap_tokens": 1}, content_type="application/json", headers=key) for _ in range(2)
        )
        assert (first.content, OutboxMessage.objects.filter(kind="overage.cap_set").count()) == (again.content, 1)

    def test_other_customers_keep_theirs(self, mia: Customer, customer: Callable[..., Customer]) -> None:
        other = customer("other", "metered")
        cap(mia, 0)
        assert Subscription.objects.get(account=other.user).overage_cap_tokens is None
        assert current(other)["overage"]["cap_tokens"] == 20


def test_a_suggested_plan_would_have_let_it_pass_by_what_it_includes(mia: Customer) -> None:
    Plan.objects.filter(code="community").update(monthly_token_quota=0)
    Plan.objects.filter(price__gt=0).exclude(code="metered").update(archived_at=timezone.now())
    make_metered("next", 62, 2, monthly_token_quota=20, overage_cap_tokens=10_000)
    make_metered("enough", 93, 3, monthly_token_quota=50)
    for _ in range(3):
        mia.api.get(TRACE)
    assert mia.api.get(TRACE).json()["suggested_plan"] == "enough"
    cap(mia, 19)
    assert mia.api.get(TRACE).json()["suggested_plan"] == "enough", "20 + 19 < 40"
    cap(mia, 20)
    Plan.objects.filter(code="metered").update(monthly_token_quota=10)
    assert mia.api.get(TRACE).json()["suggested_plan"] == "next", "with the own cap it would have passed"


def test_from_the_first_call_to_the_invoice(customer: Callable[..., Customer], catalogue: None) -> None:
    with moved_by_hand("2031-03-10T00:00:00Z") as clock:
        make_metered(monthly_token_quota=15, overage_cap_tokens=20, overage_price=50)
        mia = customer("mia", "metered")
        for _ in range(3):
            mia.api.get(TRACE)
        clock.move_to("2031-04-10T00:00:00Z")
        renewal.renew_due(timezone.now())
        _, arrears, _ = mia.api.get("/api/v1/billing/invoices").json()["results"]
        assert (arrears["total"], arrears["lines"][0]["description"]) == (
            0.75,
            "15 tokens above the quota at 50.00 per 1,000",
        )
        assert current(mia)["overage"] == above(0)
