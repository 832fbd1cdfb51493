"""entitlement.py: what an account may do, as a function of its facts and the instant alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from billing.rules.entitlements.entitlement import Metered, Override, entitle
from billing.rules.entitlements.plan_offers import NO_PLAN, cheapest
from billing.rules.periods import MONTH, YEAR, Interval, Period
from billing.rules.tokens.top_ups import TopUp
from billing.rules.usage_window import BILLING_PERIOD, CALENDAR_MONTH, quota_window
from ratelimit.limits import LARGEST_NUMBER
from tests.billing.rules.situations import (
    ANCHOR,
    DAY,
    FACTS,
    MICROSECOND,
    NOVEMBER,
    NOW,
    PAID,
    PERIOD,
    PLANS,
    PRO,
    REST,
    STARTER,
    change,
    offer,
)


def test_a_plan_gives_its_limits_and_capabilities() -> None:
    entitlement = entitle(FACTS, PLANS, NOW)
    assert (entitlement.plan, entitlement.quota, entitlement.requests_per_minute) == (STARTER, 500, 30)
    assert (entitlement.window, entitlement.valid_until) == (NOVEMBER, NOVEMBER.end)
    assert entitlement.includes(Metered("trace_start", 10))
    assert entitlement.includes(Metered("graph_query", 3, "investigator"))
    assert not entitlement.includes(Metered("pattern_detection", 8, "correlation"))


@pytest.mark.parametrize(("before", "plan"), [(MICROSECOND, "starter"), (timedelta(0), "pro"), (-DAY, "pro")])
def test_a_scheduled_plan_is_in_force_from_its_very_instant(before: timedelta, plan: str) -> None:
    facts = replace(FACTS, scheduled_plan="pro", scheduled_at=NOW)
    assert entitle(facts, PLANS, NOW - before).plan.code == plan
    assert entitle(facts, PLANS, NOW - DAY).valid_until == NOW


class TestOverrides:
    def test_the_newest_in_force_holds_for_each_limit(self) -> None:
        overrides = (Override("quota", 9), Override("minute", 60), Override("quota", 7), Override("minute", 1))
        entitlement = entitle(replace(FACTS, overrides=overrides), PLANS, NOW)
        assert (entitlement.quota, entitlement.requests_per_minute) == (9, 60)

    @pytest.mark.parametrize("maximum", [0, 1, None])
    def test_it_may_lower_raise_or_lift_a_limit(self, maximum: int | None) -> None:
        overrides = (Override("quota", maximum), Override("minute", maximum))
        entitlement = entitle(replace(FACTS, overrides=overrides), PLANS, NOW)
        assert (entitlement.quota, entitlement.requests_per_minute) == (maximum, maximum)

    @pytest.mark.parametrize(("at", "quota"), [(NOW - MICROSECOND, 9), (NOW, 7), (NOW + DAY, 7)])
    def test_an_expired_one_uncovers_the_one_beneath(self, at: datetime, quota: int) -> None:
        facts = replace(FACTS, overrides=(Override("quota", 9, NOW), Override("quota", 7)))
        assert entitle(facts, PLANS, at).quota == quota
        assert entitle(facts, PLANS, NOW - DAY).valid_until == NOW


class TestTopUps:
    @pytest.mark.parametrize(
        ("starts_at", "expires_at", "at", "counts"),
        [
            (NOW, None, NOW - MICROSECOND, False),
            (NOW, None, NOW, True),
            (NOW, None, NOVEMBER.end - MICROSECOND, True),
            (NOW, None, NOVEMBER.end, False),
            (NOW, NOVEMBER.end + DAY, NOVEMBER.end, False),
            (NOVEMBER.start, None, NOW, True),
            (NOVEMBER.start - MICROSECOND, None, NOW, False),
            (NOVEMBER.end, None, NOVEMBER.end, True),
            (NOW - DAY, NOW, NOW - MICROSECOND, True),
            (NOW - DAY, NOW, NOW, False),
        ],
    )
    def test_it_counts_in_the_window_it_starts_in_until_it_expires(
        self, starts_at: datetime, expires_at: datetime | None, at: datetime, counts: bool
    ) -> None:
        facts = replace(FACTS, top_ups=(TopUp(100, starts_at, expires_at),))
        assert entitle(facts, PLANS, at).quota == 500 + 100 * counts

    def test_several_add_up_on_an_override_and_mean_nothing_to_unlimited(self) -> None:
        facts = replace(FACTS, top_ups=(TopUp(100, NOW), TopUp(10, NOW)), overrides=(Override("quota", 5),))
        assert entitle(facts, PLANS, NOW).quota == 115
        assert entitle(replace(facts, plan="pro", overrides=()), PLANS, NOW).quota is None

    def test_the_sum_stays_within_what_can_be_counted(self) -> None:
        facts = replace(FACTS, top_ups=(TopUp(LARGEST_NUMBER, NOW), TopUp(LARGEST_NUMBER, NOW)))
        assert entitle(facts, PLANS, NOW).quota == LARGEST_NUMBER


class TestWindows:
    def test_the_two_kinds(self) -> None:
        assert quota_window(CALENDAR_MONTH, ANCHOR, NOW) == NOVEMBER
        assert quota_window(BILLING_PERIOD, ANCHOR, NOW) == PERIOD
        yearly = {"starter": replace(STARTER, quota_window=BILLING_PERIOD)}
        assert entitle(FACTS, yearly, NOW).window == PERIOD

    def test_a_change_of_plan_leaves_the_window_until_it_ends(self) -> None:
        plans = PLANS | {"pro": replace(PRO, quota_window=BILLING_PERIOD)}
        changed = replace(change(FACTS, STARTER, plans["pro"], NOW), plan="pro")
        assert entitle(changed, plans, NOW).window == NOVEMBER
        assert entitle(changed, plans, NOVEMBER.end).window == REST

    @pytest.mark.parametrize(("kind", "window"), [(BILLING_PERIOD, PERIOD), (CALENDAR_MONTH, PAID)])
    def test_a_scheduled_change_begins_one_also_while_nobody_has_applied_it(self, kind: str, window: Period) -> None:
        """The period that begins there is paid, so it has the tokens of its plan."""
        plans = PLANS | {"pro": offer("pro", quota=200, quota_window=kind)}
        facts = replace(FACTS, scheduled_plan="pro", scheduled_at=PERIOD.start)
        assert entitle(facts, plans, PERIOD.start - MICROSECOND).window == NOVEMBER
        assert [entitle(facts, plans, at).window for at in (PERIOD.start, NOW)] == [window, window]
        assert entitle(facts, plans, window.end).window.start == window.end

    def test_a_scheduled_change_as_the_window_begins_ends_nothing(self) -> None:
        facts = replace(FACTS, anchor=NOVEMBER.start, scheduled_plan="pro", scheduled_at=NOVEMBER.start)
        assert entitle(facts, PLANS, NOVEMBER.start).window == NOVEMBER

    def test_a_change_at_the_windows_own_end_acts_at_once(self) -> None:
        plans = {"starter": replace(STARTER, quota_window=BILLING_PERIOD), "pro": PRO}
        facts = replace(FACTS, scheduled_plan="pro", scheduled_at=PERIOD.end)
        assert entitle(facts, plans, PERIOD.end - MICROSECOND).window == PERIOD
        assert entitle(facts, plans, PERIOD.end).window == Period(PERIOD.end, datetime(2027, 1, 1, tzinfo=UTC))

    def test_a_plan_that_is_only_asked_about_leaves_the_window_alone(self) -> None:
        plans = PLANS | {"pro": replace(PRO, quota_window=BILLING_PERIOD)}
        asked = entitle(FACTS, plans, NOW, plan="pro")
        assert (asked.plan.code, asked.requests_per_minute, asked.window) == ("pro", 100, NOVEMBER)


class TestFromUnlimitedToLimited:
    """The limited plan's quota counts from the change, for tokens that nobody limited used none of it."""

    def test_a_window_begins_at_the_change(self) -> None:
        facts = replace(FACTS, plan="pro", scheduled_plan="starter", scheduled_at=PERIOD.start)
        rest = Period(PERIOD.start, NOVEMBER.end)
        assert entitle(facts, PLANS, PERIOD.start - MICROSECOND).window == NOVEMBER
        assert [entitle(facts, PLANS, at).window for at in (PERIOD.start, NOW)] == [rest, rest]
        assert entitle(facts, PLANS, NOVEMBER.end).window.start == NOVEMBER.end

    def test_at_a_whole_second(self) -> None:
        changed = replace(change(replace(FACTS, plan="pro"), PRO, STARTER, NOW + MICROSECOND), plan="starter")
        assert entitle(changed, PLANS, NOW + DAY).window == Period(NOW, NOVEMBER.end)

    @pytest.mark.parametrize("after", [timedelta(0), MICROSECOND])
    def test_a_change_as_the_window_begins_ends_nothing(self, after: timedelta) -> None:
        changed = replace(change(replace(FACTS, plan="pro"), PRO, STARTER, NOVEMBER.start + after), plan="starter")
        assert entitle(changed, PLANS, NOW).window == NOVEMBER

    def test_not_where_the_window_had_a_quota_before(self) -> None:
        """Up and down again within a window gives its quota once."""
        up = replace(change(FACTS, STARTER, PRO, NOW - DAY), plan="pro")
        down = replace(change(up, PRO, STARTER, NOW), plan="starter")
        assert entitle(down, PLANS, NOW).window == NOVEMBER
        at_once = replace(change(up, PRO, STARTER, NOW - DAY), plan="starter")
        assert entitle(at_once, PLANS, NOW).window == NOVEMBER

    def test_also_there_when_a_period_of_the_limited_plan_begins(self) -> None:
        up = replace(change(FACTS, STARTER, PRO, PERIOD.start - DAY), plan="pro")
        down = replace(up, scheduled_plan="starter", scheduled_at=PERIOD.start)
        assert entitle(down, PLANS, PERIOD.start - MICROSECOND).window == NOVEMBER
        assert entitle(down, PLANS, NOW).window == Period(PERIOD.start, NOVEMBER.end)

    def test_in_the_window_after_that_it_does(self) -> None:
        up = replace(change(FACTS, STARTER, PRO, NOW - 30 * DAY), plan="pro")
        down = replace(change(up, PRO, STARTER, NOW), plan="starter")
        assert entitle(down, PLANS, NOW).window == Period(NOW, NOVEMBER.end)

    def test_limited_to_limited_and_unlimited_to_unlimited_leave_the_window(self) -> None:
        plus = replace(PRO, terms=replace(PRO.terms, code="plus"))
        for old, new in ((STARTER, STARTER), (STARTER, PRO), (PRO, plus)):
            changed = change(replace(FACTS, plan=old.code), old, new, NOW)
            assert entitle(replace(changed, plan=new.code), PLANS | {"plus": plus}, NOW).window == NOVEMBER


def test_a_top_up_counts_in_one_window_whatever_its_kind() -> None:
    """Granted on the 25th in the calendar month; the billing period from the 20th on holds that day as well."""
    anchor, day = datetime(2026, 1, 20, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
    plans = {"starter": offer("starter", quota=20), "pro": offer("pro", quota=20, quota_window=BILLING_PERIOD)}
    facts = replace(FACTS, anchor=anchor, top_ups=(TopUp(40, day + 24 * DAY),))
    changed = replace(change(facts, plans["starter"], plans["pro"], day + 25 * DAY), plan="pro")
    quotas = [entitle(changed, plans, day + days * DAY).quota for days in (25, 30, 31, 49, 50)]
    assert quotas == [60, 60, 20, 20, 20]


class TestTheEnd:
    """What a canceled subscription is followed by, whether or not the renewal has written it yet."""

    FREE = offer("free", quota=50, rate=5, price=0, is_default=True)
    ENDING = replace(FACTS, ends_at=PERIOD.end)

    def test_until_then_everything_stays(self) -> None:
        entitlement = entitle(self.ENDING, PLANS | {"free": self.FREE}, PERIOD.end - MICROSECOND)
        assert (entitlement.plan, entitlement.valid_until) == (STARTER, PERIOD.end)

    @pytest.mark.parametrize("kind", [CALENDAR_MONTH, BILLING_PERIOD])
    def test_the_default_plan_follows_with_a_window_of_its_own(self, kind: str) -> None:
        plans = PLANS | {"free": replace(self.FREE, quota_window=kind)}
        entitlement = entitle(self.ENDING, plans, PERIOD.end)
        assert (entitlement.plan.code, entitlement.quota, entitlement.requests_per_minute) == ("free", 50, 5)
        ends = datetime(2027, 1, 10, 12, tzinfo=UTC) if kind == BILLING_PERIOD else datetime(2027, 1, 1, tzinfo=UTC)
        assert entitlement.window == Period(PERIOD.end, ends)

    def test_its_periods_are_counted_from_there(self) -> None:
        """The 31st ends on the 28th; what follows is counted from the 28th on."""
        free = replace(self.FREE, quota_window=BILLING_PERIOD)
        end = datetime(2026, 2, 28, tzinfo=UTC)
        facts = replace(FACTS, anchor=datetime(2025, 12, 31, tzinfo=UTC), ends_at=end)
        window = entitle(facts, PLANS | {"free": free}, datetime(2026, 3, 29, tzinfo=UTC)).window
        assert window == Period(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 4, 28, tzinfo=UTC))

    def test_without_a_default_plan_nothing_follows(self) -> None:
        entitlement = entitle(self.ENDING, PLANS, PERIOD.end)
        assert (entitlement.plan, entitlement.quota) == (NO_PLAN, 0)
        assert not entitlement.includes(Metered("trace_start", 10))
        assert not entitlement.includes(Metered("graph_query", 3, "investigator"))

    def test_who_has_no_plan_is_shown_the_cheapest_of_all(self) -> None:
        euro = offer("euro", price=1, currency="EUR")
        assert cheapest([STARTER, euro], NO_PLAN, {"starter", "euro"}) == euro


class TestCheapest:
    ALL = (
        offer("community", price=0, rank=0),
        STARTER,
        offer("pro", price=49, rank=2),
        offer("rival", price=49, rank=1),
        offer("euro", price=1, currency="EUR"),
        offer("yearly", price=1, every=YEAR),
        offer("gone", price=1, archived=True),
    )

    @pytest.mark.parametrize(
        ("passing", "expected"),
        [
            ({"pro", "rival"}, "rival"),
            ({"pro"}, "pro"),
            ({"starter", "pro"}, "pro"),
            ({"community", "pro"}, "community"),
            ({"euro", "yearly", "gone", "starter", "unknown"}, None),
            (set(), None),
        ],
    )
    def test_the_cheapest_that_can_be_changed_to(self, passing: set[str], expected: str | None) -> None:
        found = cheapest(self.ALL, STARTER, passing)
        assert (found.code if found else None) == expected

    def test_intervals_of_equal_length_are_one(self) -> None:
        twelve = offer("twelve", every=Interval(MONTH.unit, 12))
        assert cheapest([twelve], offer("current", every=YEAR), {"twelve"}) == twelve
