"""Which threshold is newly crossed: the highest, once a size of its limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage.thresholds.rule import Told, Watched, look_from, newly_crossed

QUOTA = Watched("included", 500, [80, 100])
CAP = Watched("cap", 700, [100])


def told(*rows: tuple[str, int, int]) -> list[Told]:
    return [Told(*row) for row in rows]


@pytest.mark.parametrize(
    ("used", "before", "percent"),
    [
        (399, told(), None),
        (400, told(), 80),
        (499, told(), 80),
        (500, told(), 100),
        (450, told(("included", 500, 80)), None),
        (500, told(("included", 500, 80)), 100),
        (500, told(("included", 500, 100)), None),
        (450, told(("included", 500, 100)), None),
        (450, told(("included", 400, 100)), 80),
        (450, told(("included", 600, 80)), None),
        (500, told(("included", 600, 80)), 100),
        (10**15, told(("cap", 10**15, 100)), 100),
    ],
)
def test_of_one_limit(used: int, before: list[Told], percent: int | None) -> None:
    crossing = newly_crossed(used, [QUOTA], before)
    assert (crossing.percent if crossing else None) == percent


def test_whoever_has_used_all_that_is_sold_is_told_that_alone() -> None:
    assert newly_crossed(700, [QUOTA, CAP], told()) == (CAP, 100)
    assert newly_crossed(700, [QUOTA, CAP], told(("cap", 700, 100))) is None
    assert newly_crossed(699, [QUOTA, CAP], told(("included", 500, 100))) is None


def test_from_where_there_is_more_to_tell() -> None:
    assert [look_from(used, [QUOTA, CAP]) for used in (0, 399, 400, 500, 700)] == [400, 400, 500, 700, None]
    assert look_from(0, []) is None


PERCENTS = st.lists(st.integers(1, 100), unique=True, max_size=4).map(sorted)


@given(st.integers(1, 10**15), PERCENTS, st.lists(st.integers(0, 10**15), max_size=20))
def test_each_is_told_once_and_the_highest_in_the_end(tokens: int, percents: list[int], looks: list[int]) -> None:
    """Whatever is looked at, up and down, as charges and voids go: no percentage twice, and only rising ones."""
    limit, rows = Watched("included", tokens, percents), told()
    for used in looks:
        if crossing := newly_crossed(used, [limit], rows):
            rows.append(Told("included", tokens, crossing.percent))
    said = [row.percent for row in rows]
    assert said == sorted(set(said))
    crossed = [percent for percent in percents if max(looks, default=-1) * 100 >= tokens * percent]
    assert max(said, default=0) == max(crossed, default=0)


@given(st.integers(1, 10**15), PERCENTS, st.integers(0, 10**15))
def test_nothing_is_missed_before_the_next_look(tokens: int, percents: list[int], used: int) -> None:
    limit = Watched("included", tokens, percents)
    ahead = look_from(used, [limit])
    crossed = newly_crossed(used, [limit], told())
    before = [Told("included", tokens, crossed.percent)] if crossed else []
    if ahead is None:
        assert newly_crossed(10**16, [limit], before) is None
    else:
        assert newly_crossed(ahead - 1, [limit], before) is None
        assert newly_crossed(ahead, [limit], before) is not None
