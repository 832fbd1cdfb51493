"""When a declined charge is tried again, and when the plan of who does not pay is paused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Metered, entitle, stretches
from billing.rules.entitlements.plan_offers import NO_PLAN
from billing.rules.payments.dunning import next_try, waits_until
from billing.rules.payments.past_due import paused_from
from tests.billing.rules.situations import DAY, FACTS, MICROSECOND, NOW, PLANS, PRO, offer

DAYS = (1, 3, 5, 7)
DEFAULT = offer("free", quota=100, rate=10, price=0, is_default=True)
WITH_DEFAULT = {**PLANS, "free": DEFAULT}


@pytest.mark.parametrize(
    ("after", "day"),
    [
        (timedelta(0), 1),
        (DAY - MICROSECOND, 1),
        (DAY, 3),
        (DAY + MICROSECOND, 3),
        (4 * DAY, 5),
        (7 * DAY - MICROSECOND, 7),
        (7 * DAY, None),
        (90 * DAY, None),
    ],
)
def test_the_next_day_that_has_not_come(after: timedelta, day: int | None) -> None:
    assert next_try(NOW, NOW + after, DAYS) == (None if day is None else NOW + day * DAY)


@given(st.lists(st.integers(1, 30)), st.integers(0, 40))
def test_it_lies_ahead_and_on_a_day_of_the_setting(days: list[int], after: int) -> None:
    at = next_try(NOW, NOW + after * DAY, days)
    assert at is None or (at > NOW + after * DAY and (at - NOW) // DAY in days)
    assert (at is None) == (waits_until(NOW, days) <= NOW + after * DAY)


def test_no_days_are_no_tries() -> None:
    assert next_try(NOW, NOW, ()) is None
    assert waits_until(NOW, ()) == NOW


def test_a_pause_follows_from_when_it_is_past_due() -> None:
    assert paused_from(None, 7) is None
    assert paused_from(NOW, 7) == NOW + 7 * DAY
    assert paused_from(NOW, 0) == NOW


class TestPause:
    @pytest.mark.parametrize(("at", "plan"), [(NOW - MICROSECOND, "starter"), (NOW, "free"), (NOW + DAY, "free")])
    def test_the_default_plan_is_served_from_its_very_instant(self, at: datetime, plan: str) -> None:
        entitlement = entitle(replace(FACTS, paused_at=NOW), WITH_DEFAULT, at)
        assert entitlement.plan.code == plan
        assert entitlement.includes(Metered("graph_query", 3, "investigator")) == (plan == "starter")

    def test_a_snapshot_of_before_is_valid_until_then(self) -> None:
        facts = replace(FACTS, paused_at=NOW)
        assert entitle(facts, WITH_DEFAULT, NOW - DAY).valid_until == NOW
        known = stretches(facts, WITH_DEFAULT, NOW - DAY)
        assert [each.entitlement.plan.code for each in known][:2] == ["starter", "free"]

    def test_the_window_goes_on_and_no_allowance_is_given_twice(self) -> None:
        facts = replace(FACTS, paused_at=NOW)
        assert entitle(facts, WITH_DEFAULT, NOW).window == entitle(FACTS, WITH_DEFAULT, NOW).window

    def test_no_higher_plan_would_help(self) -> None:
        facts = replace(FACTS, paused_at=NOW)
        assert entitle(facts, WITH_DEFAULT, NOW, plan=PRO.code).plan == DEFAULT

    def test_no_tokens_are_sold_above_the_quota(self) -> None:
        sells = replace(DEFAULT, overage_price=Decimal(1), overage_cap_tokens=1000)
        assert entitle(replace(FACTS, paused_at=NOW), {**PLANS, "free": sells}, NOW).quota == 100

    def test_without_a_default_plan_there_is_none(self) -> None:
        assert entitle(replace(FACTS, paused_at=NOW), PLANS, NOW).plan == NO_PLAN

    def test_an_end_that_was_due_comes_all_the_same(self) -> None:
        facts = replace(FACTS, ends_at=NOW, paused_at=NOW)
        assert entitle(facts, WITH_DEFAULT, NOW + DAY).plan == DEFAULT
