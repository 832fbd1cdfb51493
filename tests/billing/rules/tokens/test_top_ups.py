"""Which tokens are spent first, and what stays of a top-up that has lapsed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.entitlements.entitlement import Override, entitle, stretches
from billing.rules.tokens.top_ups import TopUp, edges_until, of_window, spent_of, tokens_on_top
from tests.billing.rules.situations import DAY, FACTS, MICROSECOND, NOVEMBER, PLANS
from tests.effort import examples

Usage = list[tuple[datetime, int]]
"""Calls: when, and what each cost."""


def day(number: float) -> datetime:
    return NOVEMBER.start + number * DAY


def top_up(tokens: int, start: float, end: float | None = None) -> TopUp:
    return TopUp(tokens, day(start), None if end is None else day(end))


def counted(top_ups: list[TopUp], calls: Usage, now: datetime) -> list[TopUp]:
    """The top-ups with what was spent of each that has lapsed."""
    mine = of_window(top_ups, NOVEMBER)
    used = {edge: sum(tokens for at, tokens in calls if at < edge) for edge in edges_until(mine, now)}
    spent = spent_of(mine, used)
    return [replace(one, spent=tokens) if one.has_lapsed(now) else one for one, tokens in zip(mine, spent, strict=True)]


def plan_left(plan: int, top_ups: list[TopUp], calls: Usage) -> int:
    """Of the plan's own tokens, taken one by one."""
    left = [one.tokens for one in top_ups]
    for at, tokens in sorted(calls):
        for _ in range(tokens):
            active = [
                i for i, one in enumerate(top_ups) if one.starts_at <= at and not one.has_lapsed(at) and left[i] > 0
            ]
            if active:
                left[min(active, key=lambda i: top_ups[i].expires_at or NOVEMBER.end)] -= 1
            else:
                plan -= 1
    return plan


@pytest.mark.parametrize(
    ("top_ups", "calls", "spent"),
    [
        ([top_up(50, 0, 3)], [(day(1), 40)], [40]),
        ([top_up(50, 0, 3)], [(day(1), 90)], [50]),
        ([top_up(50, 0, 3)], [], [0]),
        ([top_up(50, 1, 3)], [(day(1) - MICROSECOND, 7), (day(3), 7)], [0]),
        ([top_up(50, 1, 3)], [(day(1), 7), (day(3) - MICROSECOND, 8)], [15]),
        ([top_up(50, 0, 3), top_up(50, 0, 2)], [(day(1), 60)], [10, 50]),
        ([top_up(50, 0), top_up(50, 0, 9)], [(day(1), 60)], [0, 50]),
        ([top_up(50, 0, 2), top_up(50, 1, 3)], [(day(0), 20), (day(1), 60), (day(2), 60)], [50, 50]),
    ],
)
def test_of_each_top_up(top_ups: list[TopUp], calls: Usage, spent: list[int]) -> None:
    assert [one.spent for one in counted(top_ups, calls, day(10)) if one.has_lapsed(day(10))] == [
        tokens for one, tokens in zip(top_ups, spent, strict=True) if one.has_lapsed(day(10))
    ]


def test_of_a_usage_that_was_given_back_nothing_is_spent() -> None:
    assert spent_of([top_up(50, 0, 3)], {day(0): 30, day(3): 0}) == [0]


HALVES = st.integers(0, 20).map(lambda half: half / 2)
TOP_UPS = st.lists(
    st.builds(
        lambda tokens, start, length: top_up(tokens, start, None if length is None else start + length),
        st.integers(1, 9),
        HALVES,
        st.none() | st.integers(1, 12).map(lambda half: half / 2),
    ),
    max_size=4,
)
CALLS = st.lists(st.tuples(HALVES.map(day), st.integers(1, 9)), max_size=8)


@examples(300, 5_000)
@given(TOP_UPS, CALLS, HALVES, st.sampled_from([0, -1, 1]), st.randoms(use_true_random=False))
def test_the_plans_own_tokens_are_spent_last_and_no_token_is_granted_twice(
    top_ups: list[TopUp], calls: Usage, half: float, beside: int, random: object
) -> None:
    """What is left is what is left of the plan and of top-ups that hold, to the token, at whatever instant."""
    now = day(half) + beside * MICROSECOND
    calls = [(at, tokens) for at, tokens in calls if at < now]
    used = sum(tokens for _, tokens in calls)
    known = counted(top_ups, calls, now)
    on_top = tokens_on_top(known, NOVEMBER, now)
    of_plan = plan_left(100, of_window(top_ups, NOVEMBER), calls)
    spent = spent_of(
        of_window(top_ups, NOVEMBER),
        {edge: sum(tokens for at, tokens in calls if at < edge) for edge in {*edges_until(top_ups, now), now}},
    )
    holding = [
        one.tokens - tokens
        for one, tokens in zip(known, spent, strict=True)
        if one.starts_at <= now and not one.has_lapsed(now)
    ]
    assert 100 + on_top - used == of_plan + sum(holding)
    shuffled = list(top_ups)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert tokens_on_top(counted(shuffled, calls, now), NOVEMBER, now) == on_top


class TestInAnEntitlement:
    LAPSED = replace(top_up(50, 0, 3), spent=40)

    @pytest.mark.parametrize(
        ("at", "quota"),
        [(day(3) - MICROSECOND, 550), (day(3), 540), (NOVEMBER.end - MICROSECOND, 540), (NOVEMBER.end, 500)],
    )
    def test_what_was_spent_counts_until_the_window_ends(self, at: datetime, quota: int) -> None:
        assert entitle(replace(FACTS, top_ups=(self.LAPSED,)), PLANS, at).quota == quota

    def test_also_on_an_override_and_on_another_plan(self) -> None:
        facts = replace(FACTS, top_ups=(self.LAPSED, top_up(7, 4)), overrides=(Override("quota", 5),))
        assert entitle(facts, PLANS, day(5)).quota == 52
        assert entitle(replace(facts, overrides=()), PLANS, day(5), plan="starter").quota == 547

    def test_what_is_counted_again_is_a_turning_point(self) -> None:
        again = replace(self.LAPSED, count_again_at=day(4))
        assert entitle(replace(FACTS, top_ups=(again,)), PLANS, day(3)).valid_until == day(4)
        assert [again.is_uncounted(at) for at in (day(2), day(3), day(4))] == [False, False, True]
        assert not self.LAPSED.is_uncounted(day(9))
        assert top_up(50, 0, 3).is_uncounted(day(3))

    def test_nothing_is_foreseen_of_one_that_has_still_to_lapse(self) -> None:
        """The account's quota will be at least that: a wait may be too long, and never too short."""
        facts = replace(FACTS, top_ups=(top_up(50, 0, 3), replace(top_up(9, 0, 1), spent=9)))
        quotas = [stretch.entitlement.quota for stretch in stretches(facts, PLANS, day(2))]
        assert quotas == [559, 509, 500]
