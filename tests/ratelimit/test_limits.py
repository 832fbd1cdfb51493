"""limits.py: the small value that both kinds of limit are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.limits import Limit, Standing, whole_seconds

MINUTE = Limit("minute", 10, 60_000)
QUOTA = Limit("quota", 100, 3_600_000, 7_200_000)


def test_a_fixed_window_has_an_end_and_a_sliding_one_none() -> None:
    assert QUOTA.ends_at_ms == 10_800_000
    assert (MINUTE.window_seconds, QUOTA.window_seconds) == (60, 3600)
    with pytest.raises(ValueError, match="slides; it has no end"):
        _ = MINUTE.ends_at_ms


@pytest.mark.parametrize(
    ("used", "amount", "admits", "wait_ms"),
    [
        (0, 100, True, 0),
        (99, 1, True, 0),
        (100, 0, True, 0),
        (150, 0, True, 0),  # a plan was lowered: nothing can still be taken
        (100, 1, False, 500),
        (99, 2, False, 500),
        (0, 101, False, None),
    ],
)
def test_what_a_standing_admits_and_how_long_it_waits(
    used: int, amount: int, admits: bool, wait_ms: int | None
) -> None:
    standing = Standing(QUOTA, used, 500)
    assert standing.admits(amount) is admits
    assert standing.wait_for_ms(amount) == wait_ms


def test_unlimited_admits_everything_and_has_no_remainder() -> None:
    standing = Standing(QUOTA._replace(maximum=None), 10**12, 500)
    assert standing.remaining is None
    assert standing.admits(10**14) and standing.wait_for_ms(10**14) == 0


@given(st.integers(0, 10**12))
def test_whole_seconds_are_enough_and_no_second_more_than_needed(wait_ms: int) -> None:
    assert whole_seconds(wait_ms) * 1000 >= wait_ms > (whole_seconds(wait_ms) - 1) * 1000
