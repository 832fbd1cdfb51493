"""What holds of every entitlement, whatever happened to the account."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import (
    entitle,
)
from billing.rules.periods import Period
from billing.rules.tokens.top_ups import TopUp
from billing.rules.usage_window import BILLING_PERIOD, CALENDAR_MONTH
from tests.billing.rules.situations import (
    ANCHOR,
    BASE,
    DAY,
    FACTS,
    INSTANTS,
    MAYBE,
    MICROSECOND,
    Situation,
    apart_from_validity,
    change,
    offer,
    situations,
)


@given(situations(), INSTANTS, st.floats(0, 1, exclude_max=True))
def test_time_alone_changes_nothing_before_valid_until(situation: Situation, now: datetime, part: float) -> None:
    entitlement = entitle(*situation, now)
    assert now < entitlement.valid_until <= entitlement.window.end
    assert entitlement.window.contains(now)
    last = entitlement.valid_until - MICROSECOND
    for later in (now + part * (last - now), last):
        assert apart_from_validity(entitle(*situation, later)) == apart_from_validity(entitlement)


@given(situations(), INSTANTS, st.floats(0, 1, exclude_max=True))
def test_no_window_is_left_before_its_end(situation: Situation, now: datetime, part: float) -> None:
    window = entitle(*situation, now).window
    last = window.end - MICROSECOND
    if situation[0].scheduled_at is not None:  # with a period of its plan a window begins as well
        last = min(last, max(now, situation[0].scheduled_at - timedelta(seconds=1)))
    for later in (now + part * (last - now), last):
        assert entitle(*situation, later).window == window


@given(situations(scheduled=INSTANTS), st.integers(0, 200), st.sampled_from([0, 1]))
def test_a_late_beat_makes_no_difference(situation: Situation, half_days: int, beside: int) -> None:
    facts, plans = situation
    assert facts.scheduled_at is not None
    now = facts.scheduled_at + half_days * DAY / 2 + beside * MICROSECOND
    changed = change(facts, plans["starter"], plans["pro"], facts.scheduled_at, with_period=True)
    applied = replace(changed, plan="pro", scheduled_plan="", scheduled_at=None)
    assert entitle(applied, plans, now) == entitle(facts, plans, now)


WAYS = st.sampled_from(["within", "with period", 0, 1, 7, 14, 60])


@given(
    st.lists(st.tuples(INSTANTS, st.sampled_from(["a", "b", "c", "d"]), WAYS), min_size=1, max_size=6),
    st.lists(st.builds(TopUp, st.just(1_000), INSTANTS, MAYBE, st.none() | st.just(1_000)), max_size=3),
)
def test_windows_of_any_changes_follow_each_other(
    steps: list[tuple[datetime, str, str | int]], top_ups: list[TopUp]
) -> None:
    """None comes back, none overlaps another, and each top-up counts in one of them at most, also what was spent.

    A change leaves the period, comes with its end, or begins one: a paid one now, or a trial of some days.
    """
    quotas = {"a": 9, "b": 9, "c": None, "d": None}
    plans = {
        code: offer(code, quota=quotas[code], quota_window=CALENDAR_MONTH if code in "ac" else BILLING_PERIOD)
        for code in quotas
    }
    facts = replace(FACTS, plan="a", anchor=ANCHOR)
    # Periods end at whole seconds.
    whole = [(at.replace(microsecond=0) if way == "with period" else at, code, way) for at, code, way in steps]
    steps = sorted(whole, key=lambda step: step[0])
    windows: list[Period] = []
    counted: dict[TopUp, set[datetime]] = {top_up: set() for top_up in top_ups}
    for half_days in range(240):
        now = BASE + half_days * DAY / 2
        while steps and steps[0][0] <= now:
            at, code, way = steps.pop(0)
            anchor = at.replace(microsecond=0) + timedelta(days=way) if isinstance(way, int) else None
            with_period = way == "with period"
            changed = change(facts, plans[facts.plan], plans[code], at, with_period=with_period, anchor=anchor)
            facts = replace(changed, plan=code)
        window = entitle(facts, plans, now).window
        if not windows or windows[-1].start != window.start:  # a trial may bring its end forward
            windows.append(window)
        for top_up in top_ups:
            entitlement = entitle(replace(facts, top_ups=(top_up,)), plans, now)
            if (entitlement.quota or 0) > 1_000:
                counted[top_up].add(window.start)
    starts = [window.start for window in windows]
    assert starts == sorted(set(starts))
    assert all(len(of_one) <= 1 for of_one in counted.values())
