"""The sliding window of one process: exact, bounded, and true about when to come again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.in_process import InProcessWindows, share_of
from ratelimit.limits import Limit

MINUTE = 60_000


def minute(maximum: int) -> Limit:
    return Limit("minute", maximum, MINUTE)


@pytest.mark.parametrize(
    ("maximum", "processes", "share"), [(0, 1, 0), (0, 9, 0), (1, 1, 1), (1, 2, 1), (30, 2, 15), (31, 2, 15), (5, 9, 1)]
)
def test_share(maximum: int, processes: int, share: int) -> None:
    assert share_of(maximum, processes) == share


@given(st.integers(1, 5), st.lists(st.integers(0, 30_000), max_size=60))
def test_no_sliding_minute_admits_more_than_the_share(share: int, gaps: list[int]) -> None:
    windows, now, taken = InProcessWindows(10), 1_000_000, []
    for gap in gaps:
        now += gap
        standing = windows.standing(7, minute(9), share, now)
        stamp = windows.take(7, minute(9), share, now)
        recent = [at for at in taken if now - at < MINUTE]
        assert (stamp is not None) == (len(recent) < share)
        assert standing.remaining == share - len(recent)
        if stamp is not None:
            taken.append(now)
        else:
            assert standing.wait_ms == recent[0] + MINUTE - now


def test_what_is_given_back_is_there_again() -> None:
    windows = InProcessWindows(10)
    stamp = windows.take(7, minute(1), 1, 5)
    assert stamp is not None
    assert windows.take(7, minute(1), 1, 6) is None
    windows.give_back(7, stamp)
    assert windows.take(7, minute(1), 1, 6) == 6


def test_a_clock_that_steps_back_frees_nothing() -> None:
    windows = InProcessWindows(10)
    assert windows.take(7, minute(2), 2, 100_000) == 100_000
    assert windows.take(7, minute(2), 2, 90_000) == 100_000
    assert windows.take(7, minute(2), 2, 159_999) is None
    assert windows.take(7, minute(2), 2, 160_000) == 160_000


def test_a_limit_of_nothing_never_passes() -> None:
    windows = InProcessWindows(10)
    assert windows.take(7, minute(0), 0, 5) is None
    standing = windows.standing(7, minute(0), 0, 5)
    assert (standing.used, standing.remaining, standing.wait_ms) == (0, 0, None)


def test_it_remembers_so_many_accounts_and_no_more() -> None:
    windows = InProcessWindows(3)
    for account in range(5):
        windows.take(account, minute(1), 1, account)
    left = [windows.standing(account, minute(1), 1, 5).remaining for account in range(5)]
    assert left == [1, 1, 0, 0, 0]
