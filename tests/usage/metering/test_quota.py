"""quota.py: what a standing amounts to, and an entitlement as the limits that judge by it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.conf import settings as django_settings
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Entitlement
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.periods import MONTH, Period
from billing.rules.plan_change import PlanTerms
from ratelimit.limits import Limit, Standing
from ratelimit.servers.single import SingleServer
from tests.ratelimit.account import NOW_MS, Account, Wants
from usage.metering.quota import passes, percentage_used

PATIENT = SingleServer(django_settings.REDIS_URL, timeout_seconds=10)
NOVEMBER = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def entitled(quota: int | None, rate: int | None, window: Period = NOVEMBER) -> Entitlement:
    terms = PlanTerms("starter", 1, Decimal(29), "USD", MONTH)
    plan = PlanOffer(terms, "Starter", quota, rate, frozenset())
    return Entitlement(plan, quota, rate, window, window.end)


def test_the_minute_is_a_sliding_limit_and_not_counted_when_unlimited() -> None:
    assert entitled(500, 30).limits[0] == Limit("minute", 30, 60_000)
    assert entitled(500, 0).limits[0] == Limit("minute", 0, 60_000)
    assert [limit.name for limit in entitled(500, None).limits] == ["quota"]


@pytest.mark.parametrize("quota", [0, 500, None])
def test_the_quota_is_a_fixed_limit_and_counted_also_when_unlimited(quota: int | None) -> None:
    _, limit = entitled(quota, 30).limits
    assert limit == Limit("quota", quota, 30 * 24 * 3_600_000, 1_793_491_200_000)
    assert limit.ends_at_ms == 1_796_083_200_000


@given(st.integers(0, 10**6), st.integers(1, 40 * 24 * 3600))
def test_the_window_is_the_entitlements_to_the_millisecond(start: int, seconds: int) -> None:
    moment = 1_790_000_000 + start
    window = Period(datetime.fromtimestamp(moment, UTC), datetime.fromtimestamp(moment + seconds, UTC))
    _, limit = entitled(1, 1, window).limits
    assert (limit.starts_at_ms, limit.ends_at_ms) == (moment * 1000, (moment + seconds) * 1000)


@pytest.mark.parametrize(
    ("maximum", "used", "expected"),
    [
        (100, 90, 90.0),
        (100, 0, 0.0),
        (100, 100, 100.0),
        (100, 130, 130.0),
        (3, 1, 33.3),
        (3, 2, 66.7),
        (None, 10**9, 0.0),
        (0, 0, 100.0),
    ],
)
def test_the_percentage_to_one_decimal(maximum: int | None, used: int, expected: float) -> None:
    assert percentage_used(Standing(Limit("quota", maximum, 1, 0), used, 0)) == expected


@pytest.mark.parametrize(
    ("quota", "rate", "cost", "used", "requests", "expected"),
    [
        (500, 30, 5, 494, 28, True),
        (500, 30, 5, 495, 29, True),
        (500, 30, 5, 496, 29, False),
        (500, 30, 5, 495, 30, False),
        (None, 30, 5, 10**9, 29, True),
        (500, None, 5, 495, 10**9, True),
        (None, None, 5, 10**9, 10**9, True),
        (500, 30, 0, 900, 0, True),
        (0, 30, 1, 0, 0, False),
        (500, 0, 1, 0, 0, False),
    ],
)
def test_a_plan_is_suggested_only_where_the_call_would_have_passed(
    quota: int | None, rate: int | None, cost: int, used: int, requests: int, expected: bool
) -> None:
    assert passes(entitled(quota, rate), cost, used, requests) is expected


@given(st.none() | st.integers(0, 6), st.none() | st.integers(0, 6), st.integers(0, 4), st.integers(0, 8))
def test_it_says_what_the_script_does(quota: int | None, rate: int | None, cost: int, calls: int) -> None:
    account = Account(PATIENT).published()
    entitlement = entitled(quota, rate)
    *minute, tokens = entitlement.limits
    (unlimited,) = entitled(None, None).limits
    for _ in range(calls):
        earlier = [Wants(limit._replace(maximum=10), 1) for limit in minute]
        account.admit(*earlier, Wants(unlimited, 1), now_ms=NOW_MS)
    decision = account.admit(*(Wants(limit, 1) for limit in minute), Wants(tokens, cost), now_ms=NOW_MS)
    assert (not decision.violated) is passes(entitlement, cost, used=calls, requests=calls)
