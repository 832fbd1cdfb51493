"""What a window's use comes to at the present pace, and when its quota ends."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Facts, Override, entitle
from billing.rules.entitlements.forecast import DayUsage, Forecast, forecast
from billing.rules.tokens.top_ups import TopUp
from billing.rules.usage_window import BILLING_PERIOD
from tests.billing.rules.situations import (
    ANCHOR,
    BASE,
    DAY,
    FACTS,
    INSTANTS,
    MICROSECOND,
    NOVEMBER,
    PLANS,
    Situation,
    offer,
    situations,
)

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)


def evenly(tokens: int, first: date, last: date) -> dict[date, DayUsage]:
    """So many tokens on each of the days, in calls of ten."""
    return {first + timedelta(days=n): DayUsage(tokens, tokens // 10) for n in range((last - first).days + 1)}


def known(facts: Facts, used: int, days: dict[date, DayUsage], now: datetime = NOON) -> Forecast:
    found = forecast(facts, PLANS, used, days, now)
    assert found is not None
    return found


def november(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


class TestPace:
    def test_it_is_that_of_the_last_seven_dates(self) -> None:
        # 6 whole days and a half: 130 tokens at 20 a day.
        days = evenly(1, date(2026, 11, 1), date(2026, 11, 9)) | evenly(20, date(2026, 11, 10), date(2026, 11, 15))
        found = known(FACTS, 139, days | {date(2026, 11, 16): DayUsage(10, 1)})
        assert (found.tokens, found.ends_at) == (139 + 20 * 29 // 2, NOVEMBER.end)
        assert found.runs_out_at is None

    def test_of_a_younger_window_it_is_since_its_start(self) -> None:
        found = known(FACTS, 40, evenly(20, date(2026, 11, 1), date(2026, 11, 2)), november(3))
        assert found.tokens == 40 + 20 * 28
        assert found.runs_out_at == november(3) + 23 * DAY

    def test_of_a_window_that_began_within_a_date_the_counter_has_the_part(self) -> None:
        plans = {"starter": offer("starter", quota_window=BILLING_PERIOD)}
        facts = replace(FACTS, anchor=november(10, 12))
        days = {date(2026, 11, 10): DayUsage(900, 9), date(2026, 11, 11): DayUsage(10, 1)}
        found = forecast(facts, plans, 30, days, november(12, 12))  # of the 900, all but 20 were of the window before
        assert found is not None
        assert found.tokens == 30 + 15 * 28

    def test_the_first_minutes_of_a_window_count_as_a_day(self) -> None:
        found = known(FACTS, 30, {date(2026, 11, 1): DayUsage(30, 3)}, november(1, 0, 10))
        assert found.tokens == 30 + 30 * 30 - 1  # for ten minutes it is not the whole month that is ahead

    def test_what_staff_gave_back_was_used_all_the_same(self) -> None:
        found = known(FACTS, 0, evenly(20, date(2026, 11, 10), date(2026, 11, 16)), november(17) - MICROSECOND)
        assert found.tokens == 20 * 7 * 14 // 7

    def test_while_calls_are_refused_it_is_that_of_before(self) -> None:
        days = evenly(83, date(2026, 11, 1), date(2026, 11, 6))
        assert known(FACTS, 498, days).tokens == 498 + 83 * 29 // 2
        assert known(FACTS, 498, days).runs_out_at == NOON + timedelta(days=2) / 83  # two tokens are left

    def test_without_any_use_there_is_none(self) -> None:
        assert forecast(FACTS, PLANS, 0, {}, NOON) is None
        assert forecast(FACTS, PLANS, 0, {date(2026, 11, 2): DayUsage(0, 0)}, NOON) is None

    def test_where_use_has_stopped_it_stays(self) -> None:
        found = known(FACTS, 60, evenly(20, date(2026, 11, 1), date(2026, 11, 3)))
        assert (found.tokens, found.runs_out_at) == (60, None)


class TestKnownEnds:
    """At 20 tokens a day from the 1st on, 310 are used on the 16th at noon."""

    DAYS = evenly(20, date(2026, 11, 1), date(2026, 11, 15)) | {date(2026, 11, 16): DayUsage(10, 1)}

    def of(self, **facts: object) -> Forecast:
        return known(replace(FACTS, **facts), 310, self.DAYS)  # type: ignore[arg-type]

    def test_the_plans_quota(self) -> None:
        found = self.of()
        assert found.runs_out_at == found.included_until == november(26)
        assert found.tokens == 600

    def test_an_override_that_ends(self) -> None:
        lifted = Override("quota", None, november(28))
        assert self.of(overrides=(lifted,)).runs_out_at == november(28)
        lowered = Override("quota", 300, november(17))
        assert self.of(overrides=(lowered,)).runs_out_at == NOON

    def test_a_top_up_that_stays(self) -> None:
        assert self.of(top_ups=(TopUp(50, november(2)),)).runs_out_at == november(28, 12)

    def test_of_a_top_up_that_lapses_what_was_used_meanwhile_stays(self) -> None:
        # From the 15th to the 17th 40 of its 100 are used: the quota is 540 afterwards, and it ends on the 28th.
        assert self.of(top_ups=(TopUp(100, november(15), november(17)),)).runs_out_at == november(28)
        # All of these 20 are.
        assert self.of(top_ups=(TopUp(20, november(15), november(17)),)).runs_out_at == november(27)

    def test_one_that_begins_too_late_does_not_help(self) -> None:
        assert self.of(top_ups=(TopUp(50, november(27)),)).runs_out_at == november(26)

    def test_a_scheduled_plan_begins_a_window(self) -> None:
        found = self.of(scheduled_plan="pro", scheduled_at=november(20))
        assert (found.ends_at, found.tokens, found.runs_out_at) == (november(20), 380, None)

    def test_what_is_sold_above_the_quota_ends_later(self) -> None:
        plans = {"starter": offer("starter", overage_price=Decimal("0.5"), overage_cap_tokens=60)}
        found = forecast(FACTS, plans, 310, self.DAYS, NOON)
        assert found is not None
        assert (found.included_until, found.runs_out_at) == (november(26), november(29))


@pytest.mark.parametrize("used", [500, 501])
def test_a_quota_that_is_used_up_ends_now(used: int) -> None:
    days = evenly(50, date(2026, 11, 7), date(2026, 11, 16))
    assert known(FACTS, used, days).runs_out_at == NOON


AMOUNTS = st.integers(0, 12)
AT_NOON_OF_12_DECEMBER = datetime(2026, 12, 12, 12, tzinfo=UTC)
USES = st.lists(AMOUNTS, min_size=31, max_size=31)


def _days_of(window_start: datetime, now: datetime, uses: list[int]) -> dict[date, DayUsage]:
    dates = [window_start.date() + timedelta(days=n) for n in range((now.date() - window_start.date()).days + 1)]
    return {day: DayUsage(tokens, 1) for day, tokens in zip(dates, uses, strict=False) if tokens}


ENDS_TWICE_WITHIN_A_MILLISECOND: Situation = (
    replace(
        FACTS,
        anchor=ANCHOR,
        overrides=(Override("quota", None, AT_NOON_OF_12_DECEMBER - MICROSECOND),),
        scheduled_plan="pro",
        scheduled_at=AT_NOON_OF_12_DECEMBER,
    ),
    {"starter": offer("starter", quota=0), "pro": offer("pro", quota=9, quota_window=BILLING_PERIOD)},
)


@given(situations(), INSTANTS, USES, AMOUNTS)
@example(ENDS_TWICE_WITHIN_A_MILLISECOND, NOVEMBER.end, [0] * 31, 1)
def test_it_lies_within_the_window_and_ahead(situation: Situation, now: datetime, uses: list[int], used: int) -> None:
    window = entitle(*situation, now).window
    found = forecast(*situation, used, _days_of(window.start, now, uses), now)
    if found is None:
        return
    assert found.tokens >= used
    assert now <= found.ends_at <= window.end
    for at in (found.included_until, found.runs_out_at):
        assert at is None or now <= at < found.ends_at


PAUSED_AT_THE_LAST: Situation = (
    replace(FACTS, paused_at=NOVEMBER.start - MICROSECOND),
    {"starter": offer("starter", quota=None)},
)


@given(situations(), INSTANTS, USES, AMOUNTS)
@example(PAUSED_AT_THE_LAST, BASE, [0] * 31, 1)
def test_the_quota_ends_when_a_walk_through_the_window_finds_it_used_up(
    situation: Situation, now: datetime, uses: list[int], used: int
) -> None:
    """Every six hours are asked by themselves; edges lie on half days and a microsecond beside them."""
    facts, plans = situation
    facts = replace(facts, top_ups=tuple(replace(one, expires_at=None) for one in facts.top_ups))
    window = entitle(facts, plans, now).window
    days = _days_of(window.start, now, uses)
    found = forecast(facts, plans, used, days, now)
    if found is None:
        return
    steps = [now + timedelta(hours=6) * n for n in range(4 * 32)] + [found.ends_at - MICROSECOND]
    rate = (found.tokens - used) / max((found.ends_at - now) / DAY, 1e-9)
    for at in (at for at in steps if now <= at < found.ends_at):
        then = entitle(facts, plans, at)
        expected = used + rate * ((at - now) / DAY)
        is_present = then.window.start == window.start  # the last one may have ended within the millisecond
        if is_present and then.quota is not None and expected >= then.quota + 2:  # the forecast is in whole tokens
            runs_out_at = found.runs_out_at or found.ends_at
            assert runs_out_at <= at + timedelta(milliseconds=1)  # edges are known to the millisecond
    if found.runs_out_at is not None:
        at = found.runs_out_at
        quotas = [entitle(facts, plans, at + beside).quota for beside in (timedelta(0), timedelta(milliseconds=-1))]
        known = [quota for quota in quotas if quota is not None]
        assert used + rate * ((at - now) / DAY) >= min(known) - 2


@given(INSTANTS, USES, AMOUNTS, st.integers(0, 300), st.integers(1, 50))
def test_more_tokens_never_end_sooner(now: datetime, uses: list[int], used: int, quota: int, more: int) -> None:
    ends = []
    for maximum in (quota, quota + more):
        facts = replace(FACTS, anchor=BASE, overrides=(Override("quota", maximum),))
        days = _days_of(entitle(facts, PLANS, now).window.start, now, uses)
        found = forecast(facts, PLANS, used, days, now)
        ends.append(found.runs_out_at or found.ends_at if found is not None else now)
    assert ends[0] <= ends[1]
