"""Which way a plan change goes, what blocks it and how many days off it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.periods import MONTH, YEAR, Interval, IntervalUnit
from billing.rules.plan_change import (
    Available,
    CurrencyMismatch,
    Direction,
    IntervalMismatch,
    NextPeriod,
    OnlyAtPeriodEnd,
    PlanTerms,
    UpgradeMode,
    available,
    blockers,
    days_until,
    decide,
    opens_period,
)
from tests.billing.refuses import refuses

STARTER = PlanTerms("starter", rank=1, price=Decimal("29.00"), currency="USD", interval=MONTH)
PRO = PlanTerms("pro", rank=2, price=Decimal("49.00"), currency="USD", interval=MONTH)
PLANS = st.builds(
    PlanTerms,
    code=st.text("abc", min_size=1, max_size=3),
    rank=st.integers(0, 3),
    price=st.decimals(0, 3, places=0),
    currency=st.just("USD"),
    interval=st.just(MONTH),
)


def test_higher_rank_is_an_upgrade_and_lower_a_downgrade() -> None:
    assert decide(STARTER, PRO) is Direction.UPGRADE
    assert decide(PRO, STARTER) is Direction.DOWNGRADE


def test_rank_decides_before_price() -> None:
    assert decide(STARTER, replace(PRO, price=Decimal("1.00"))) is Direction.UPGRADE
    assert decide(replace(PRO, price=Decimal("1.00")), STARTER) is Direction.DOWNGRADE


@pytest.mark.parametrize(
    ("price", "direction"),
    [("28.99", Direction.DOWNGRADE), ("29.00", Direction.SAME), ("29", Direction.SAME), ("29.01", Direction.UPGRADE)],
)
def test_price_decides_at_equal_rank(price: str, direction: Direction) -> None:
    assert decide(STARTER, replace(PRO, rank=STARTER.rank, price=Decimal(price))) is direction


def test_a_plan_is_the_same_as_itself_after_an_edit() -> None:
    assert decide(STARTER, replace(STARTER, price=Decimal("35.00"), rank=5)) is Direction.SAME


@pytest.mark.parametrize("code", ["pro", "starter"])
def test_two_currencies_are_refused(code: str) -> None:
    with refuses(CurrencyMismatch, rf"{code} is sold in EUR, but starter is billed in USD") as refusal:
        decide(STARTER, replace(PRO, code=code, currency="EUR"))
    assert isinstance(refusal.value, OnlyAtPeriodEnd)
    assert refusal.value.field == "target_plan"


def test_a_shorter_interval_can_only_follow() -> None:
    with refuses(IntervalMismatch, r"pro is billed every month, but starter every year") as refusal:
        decide(replace(STARTER, interval=YEAR), PRO)
    assert refusal.value.field == "target_plan"


@pytest.mark.parametrize(
    ("rank", "price", "direction"),
    [(1, 1, Direction.UPGRADE), (2, 1, Direction.UPGRADE), (0, 9_999, Direction.DOWNGRADE)],
)
def test_a_longer_interval_goes_by_rank_alone(rank: int, price: int, direction: Direction) -> None:
    target = PlanTerms("yearly", rank, Decimal(price), "USD", YEAR)
    assert decide(STARTER, target) is direction
    assert opens_period(STARTER, target, direction)


@pytest.mark.parametrize(
    ("mode", "begins"), [(UpgradeMode.PRORATE, False), (UpgradeMode.FULL_PERIOD, True), (UpgradeMode.NEXT_PERIOD, None)]
)
def test_the_upgrade_mode_of_the_target_decides(mode: UpgradeMode, begins: bool | None) -> None:
    target = replace(PRO, upgrade_mode=mode)
    if begins is None:
        with pytest.raises(NextPeriod):
            decide(STARTER, target)
    else:
        assert opens_period(STARTER, target, decide(STARTER, target)) is begins
    assert decide(PRO, replace(STARTER, upgrade_mode=mode)) is Direction.DOWNGRADE, "it is a mode of upgrades"
    assert not opens_period(PRO, replace(STARTER, upgrade_mode=mode), Direction.DOWNGRADE)


@pytest.mark.parametrize(
    ("target", "way"),
    [
        (STARTER, None),
        (PRO, Available.NOW),
        (replace(PRO, rank=0), Available.AT_PERIOD_END),
        (replace(PRO, currency="EUR"), Available.AT_PERIOD_END),
        (replace(PRO, interval=YEAR), Available.NOW),
        (replace(PRO, interval=YEAR, rank=0), Available.AT_PERIOD_END),
        (replace(PRO, upgrade_mode=UpgradeMode.FULL_PERIOD), Available.NOW),
        (replace(PRO, upgrade_mode=UpgradeMode.NEXT_PERIOD), Available.AT_PERIOD_END),
        (replace(STARTER, code="twin"), Available.BY_STAFF),
    ],
)
def test_how_a_customer_gets_there(target: PlanTerms, way: Available | None) -> None:
    assert available(STARTER, target) is way


def test_twelve_months_and_a_year_are_one_interval() -> None:
    yearly = replace(STARTER, interval=Interval(IntervalUnit.MONTH, 12))
    assert decide(yearly, replace(PRO, interval=YEAR)) is Direction.UPGRADE


@given(PLANS, PLANS)
def test_the_way_back_is_the_opposite(here: PlanTerms, there: PlanTerms) -> None:
    opposite = {
        Direction.UPGRADE: Direction.DOWNGRADE,
        Direction.DOWNGRADE: Direction.UPGRADE,
        Direction.SAME: Direction.SAME,
    }
    assert decide(there, here) is opposite[decide(here, there)]


def test_blockers_are_the_capabilities_in_use_that_the_target_lacks() -> None:
    assert blockers(["investigator", "ai_agents", "ai_agents"], []) == ["ai_agents", "investigator"]
    assert blockers("hgfedcba", "a") == list("bcdefgh")
    assert blockers(["investigator", "ai_agents"], ["investigator"]) == ["ai_agents"]
    assert blockers(["investigator"], ["investigator", "correlation"]) == []
    assert blockers([], []) == []


@pytest.mark.parametrize(
    ("now", "days"),
    [
        (datetime(2025, 10, 16, 0, 0, 0, tzinfo=UTC), 15),
        (datetime(2025, 10, 16, 23, 59, 59, 999_999, tzinfo=UTC), 15),
        (datetime(2025, 10, 17, tzinfo=UTC), 14),
        (datetime(2025, 10, 30, 23, 59, 59, tzinfo=UTC), 1),
        (datetime(2025, 10, 31, tzinfo=UTC), 0),
        (datetime(2025, 11, 1, tzinfo=UTC), -1),
        (datetime(2025, 10, 17, 1, tzinfo=timezone(timedelta(hours=2))), 15),
    ],
)
def test_days_until_is_the_difference_of_utc_dates(now: datetime, days: int) -> None:
    assert days_until(now, datetime(2025, 10, 31, 12, tzinfo=UTC)) == days
