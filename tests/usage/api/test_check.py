"""POST /usage/check: would a call pass? Spends no tokens, counts as a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from billing.fence import push
from billing.models import Feature, LimitOverride
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import left

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with moved_by_hand("2031-03-14T00:00:00Z") as clock:
        yield clock


TO_APRIL = 18 * 86400


def check(customer: Customer, feature: str) -> Any:
    response = customer.post("/api/v1/usage/check", {"feature": feature})
    assert response.status_code == 200
    return response.json()


def answer(code: str | None, cost: int, remaining: int | str, retry_after: int | None = None) -> dict[str, Any]:
    return {
        "allowed": code is None,
        "code": code,
        "cost": cost,
        "tokens_remaining": remaining,
        "overage": None,
        "retry_after": retry_after,
    }


def test_it_spends_no_tokens_and_one_of_the_minute(alice: Customer) -> None:
    response = alice.post("/api/v1/usage/check", {"feature": "trace_start"})
    assert response.json() == answer(None, 10, 100)
    assert left(response) == {"minute": 9, "quota": 100}
    assert "X-Usage-Cost" not in response


def test_what_the_plan_lacks(alice: Customer) -> None:
    assert check(alice, "graph_query") == answer("feature_not_in_plan", 3, 100)


def test_the_quota_to_the_token(alice: Customer) -> None:
    for feature in ("trace_start",) * 9 + ("trace_expand",):
        alice.post("/api/v1/usage/track", {"feature": feature})
    LimitOverride.objects.create(account=alice.user, limit="minute", maximum=None)
    push.sweep()
    assert check(alice, "trace_expand") == answer(None, 5, 5)
    assert check(alice, "wallet_scan") == answer("quota_exceeded", 7, 5, TO_APRIL)


def test_where_waiting_cannot_help(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=9)
    assert check(alice, "trace_start") == answer("quota_exceeded", 10, 9)


def test_the_minute_that_the_check_itself_used_up(alice: Customer, clock: Any) -> None:
    for _ in range(8):
        check(alice, "risk_score")
    clock.tick(20)
    assert check(alice, "risk_score") == answer(None, 2, 100)
    assert check(alice, "risk_score") == answer("rate_limited", 2, 100, 40)
    assert alice.post("/api/v1/usage/check", {"feature": "risk_score"}).status_code == 429
    clock.tick(39)
    assert alice.api.get("/api/v1/risk/score").status_code == 429
    clock.tick(1)
    assert alice.api.get("/api/v1/risk/score").status_code == 200


def test_both_at_once_tell_the_longer_wait(alice: Customer) -> None:
    for _ in range(9):
        alice.api.get("/api/v1/trace/start")
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=95)
    push.sweep()
    assert check(alice, "trace_start") == answer("quota_exceeded", 10, 5, TO_APRIL)


def test_what_costs_nothing_is_not_refused_by_a_quota_that_was_lowered(alice: Customer) -> None:
    alice.api.get("/api/v1/trace/start")
    LimitOverride.objects.create(account=alice.user, limit="quota", maximum=5)
    Feature.objects.filter(code="risk_score").update(tokens=0)
    push.sweep()
    assert check(alice, "risk_score") == answer(None, 0, 0)
    assert alice.api.get("/api/v1/risk/score").status_code == 200


def test_unlimited(erin: Customer) -> None:
    assert check(erin, "ai_agent_query") == answer(None, 5, "unlimited")


def test_what_it_allows_passes_and_what_it_refuses_does_not(alice: Customer) -> None:
    LimitOverride.objects.create(account=alice.user, limit="minute", maximum=None)
    for feature in ("trace_start", "wallet_scan", "trace_expand", "report_generate", "risk_score") * 6:
        allowed = check(alice, feature)["allowed"]
        assert (alice.post("/api/v1/usage/track", {"feature": feature}).status_code == 200) == allowed
