"""What would cover a window at the least cost: the rule."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Override, entitle
from billing.rules.entitlements.forecast import DayUsage, Forecast, forecast
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.entitlements.suggestion import (
    Kind,
    PackOffer,
    Way,
    best,
    covering,
    missing,
    with_overage,
    with_packs,
)
from billing.rules.tokens.overage import OverageTerms
from billing.rules.tokens.top_ups import TopUp
from tests.billing.rules.situations import FACTS, INSTANTS, NOVEMBER, PRO, STARTER, Situation, offer, situations

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)
BASIC = offer("basic", quota=100, rate=10, price=0, rank=0)
MIDDLE = offer("middle", quota=1000, price=39, capabilities=["investigator"], rank=2)
PLANS = {plan.code: plan for plan in (BASIC, STARTER, MIDDLE, PRO)}
ON_BASIC = replace(FACTS, plan="basic")
ALL = frozenset(PLANS)


def coming_to(tokens: int) -> Forecast:
    return Forecast(tokens, NOVEMBER.end, 100, NOON, NOON)


def pack(tokens: int, price: str, currency: str = "USD", ends_at: datetime | None = None) -> PackOffer:
    return PackOffer(f"of-{tokens}", f"Of {tokens}", tokens, Decimal(price), currency, ends_at)


@pytest.mark.parametrize(
    ("tokens", "plan"), [(101, "starter"), (500, "starter"), (501, "middle"), (1000, "middle"), (1001, "pro")]
)
def test_the_cheapest_plan_that_includes_the_forecast(tokens: int, plan: str) -> None:
    found = covering(ON_BASIC, PLANS, BASIC, coming_to(tokens), ALL)
    assert found is not None
    assert found.code == plan


def test_only_what_can_be_had_now() -> None:
    found = covering(ON_BASIC, PLANS, BASIC, coming_to(200), ["pro"])
    assert found is PRO
    assert covering(ON_BASIC, PLANS, BASIC, coming_to(200), []) is None


def test_a_plan_that_takes_something_away_is_none() -> None:
    """Pro has more requests but no capability here; Middle keeps the one of Starter."""
    facts = replace(FACTS, plan="starter")
    assert covering(facts, PLANS, STARTER, coming_to(2000), ALL) is None
    assert covering(facts, PLANS, STARTER, coming_to(900), ALL) is MIDDLE
    slower = {**PLANS, "middle": replace(MIDDLE, requests_per_minute=29)}
    assert covering(facts, slower, STARTER, coming_to(900), ALL) is None


def test_an_override_of_the_quota_holds_on_every_plan() -> None:
    facts = replace(ON_BASIC, overrides=(Override("quota", 150),))
    assert covering(facts, PLANS, BASIC, coming_to(200), ALL) is None


def test_a_top_up_counts_on_every_plan() -> None:
    facts = replace(ON_BASIC, top_ups=(TopUp(100, NOON),))
    assert covering(facts, PLANS, BASIC, coming_to(600), ALL) is STARTER


class TestPacks:
    def test_as_many_as_it_takes_of_the_kind_that_costs_least(self) -> None:
        packs = [pack(100, "5"), pack(250, "9"), pack(1000, "30")]
        way = with_packs(BASIC, packs, 300, NOVEMBER.end)
        assert way is not None
        assert (way.pack, way.packs, way.amount, way.plan) == (packs[0], 3, Decimal(15), BASIC)

    def test_one_that_lapses_before_costs_another_currency_or_is_too_small_is_none(self) -> None:
        packs = [
            pack(100, "1", ends_at=NOVEMBER.end - timedelta(seconds=1)),
            pack(100, "1", currency="EUR"),
            pack(9, "0.01"),
        ]
        assert with_packs(BASIC, packs, 100, NOVEMBER.end) is None
        assert with_packs(BASIC, [pack(10, "1", ends_at=NOVEMBER.end)], 100, NOVEMBER.end) is not None


class TestOverage:
    TERMS = OverageTerms(Decimal("5"), 1000, "USD")

    def test_within_the_cap_there_is_nothing_to_do(self) -> None:
        way = with_overage(BASIC, self.TERMS, 1000)
        assert way is not None
        assert (way.amount, way.cap_tokens, best([way])) == (Decimal("5.00"), None, None)

    def test_above_it_the_cap_has_to_be_raised(self) -> None:
        way = with_overage(BASIC, self.TERMS, 1001)
        assert way is not None
        assert (way.amount, way.cap_tokens, best([way])) == (Decimal("5.01"), 1001, way)

    def test_what_costs_less_is_suggested_although_calls_would_pass(self) -> None:
        sold = with_overage(BASIC, self.TERMS, 1000)
        cheaper = Way(Kind.PLAN, STARTER, Decimal("4.99"), "USD")
        assert best([sold, cheaper]) is cheaper

    def test_none_is_sold(self) -> None:
        assert with_overage(BASIC, None, 10) is None


def test_of_two_that_cost_the_same_it_is_the_plan() -> None:
    plan, packs = (Way(kind, STARTER, Decimal(5), "USD") for kind in (Kind.PLAN, Kind.PACK))
    assert best([packs, plan, None]) is plan
    assert best([None]) is None


def test_without_a_need_there_is_none() -> None:
    entitlement = entitle(ON_BASIC, PLANS, NOON)
    assert missing(entitlement, coming_to(101)) == 1
    assert missing(entitlement, coming_to(100)) == 0
    assert missing(entitlement, Forecast(500, NOVEMBER.end, None, NOON, None)) == 0
    later = Forecast(500, NOVEMBER.end, 600, NOON, NOON)  # a top-up that begins before the end
    assert missing(entitlement, later) == 0


def test_a_pack_that_lapsed_and_calls_at_midnight() -> None:
    """Of a date that begins now nothing lies before any edge of the past."""
    midnight = datetime(2025, 11, 2, tzinfo=UTC)
    lapses = TopUp(100, midnight - timedelta(days=1), midnight + timedelta(hours=12))
    facts = replace(ON_BASIC, top_ups=(lapses,))
    assert forecast(facts, PLANS, 5, {midnight.date(): DayUsage(5, 1)}, midnight) is not None


@given(situations(), INSTANTS, st.integers(0, 20), st.integers(0, 20), st.sets(st.sampled_from(["starter", "pro"])))
def test_what_is_suggested_covers_and_can_be_had(
    situation: Situation, now: datetime, used: int, today: int, available: set[str]
) -> None:
    facts, plans = situation
    days: dict[date, DayUsage] = {now.date(): DayUsage(today, 1)} if today else {}
    found, entitlement = forecast(facts, plans, used, days, now), entitle(facts, plans, now)
    if found is None or not missing(entitlement, found):
        return
    assert found.included is not None and found.tokens > found.included
    target: PlanOffer | None = covering(facts, plans, entitlement.plan, found, available)
    if target is not None:
        assert target.code in available and target is not entitlement.plan
        then = entitle(facts, plans, found.ends_at - timedelta.resolution, plan=target.code)
        assert then.included is None or then.included >= found.tokens
