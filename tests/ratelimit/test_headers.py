"""headers.py: valid Structured Fields, the contract's example to the letter."""

from __future__ import annotations

from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.headers import Headers, WithOverage, ratelimit_headers
from ratelimit.limits import LARGEST_NUMBER, Limit, Standing, whole_seconds

NOW_MS = 1_762_300_800_000
MONTH_MS = 2_678_400_000
MINUTE = Limit("minute", 30, 60_000)


def quota(maximum: int | None, ends_in_ms: int = 777_600_000) -> Limit:
    return Limit("quota", maximum, MONTH_MS, NOW_MS + ends_in_ms - MONTH_MS)


def parsed(header: str) -> list[tuple[Any, dict[str, Any]]]:
    """The items of a Structured Field list with their parameters; raises for what is none."""
    return list(http_sf.parse(header.encode(), tltype="list"))


def test_the_contracts_example_to_the_letter() -> None:
    standings = [Standing(MINUTE, 1, 60_000), Standing(quota(500), 3, None)]
    assert ratelimit_headers(standings, NOW_MS) == {
        "RateLimit-Policy": '"minute";q=30;w=60, "quota";q=500;w=2678400',
        "RateLimit": '"minute";r=29;t=60, "quota";r=497;t=777600',
        "X-RateLimit-Limit": "30",
        "X-RateLimit-Remaining": "29",
        "X-RateLimit-Reset": str(NOW_MS // 1000 + 60),
    }


def test_an_unlimited_policy_is_left_out() -> None:
    headers = ratelimit_headers([Standing(MINUTE, 1, 60_000), Standing(quota(None), 3, 0)], NOW_MS)
    assert headers["RateLimit-Policy"] == '"minute";q=30;w=60'
    assert headers["RateLimit"] == '"minute";r=29;t=60'


def test_the_x_headers_tell_of_the_quota_where_the_minute_is_unlimited() -> None:
    headers = ratelimit_headers([Standing(quota(500), 3, 0)], NOW_MS)
    assert headers["X-RateLimit-Limit"] == "500"
    assert headers["X-RateLimit-Remaining"] == "497"
    assert headers["X-RateLimit-Reset"] == str(NOW_MS // 1000 + 777_600)


@pytest.mark.parametrize("standings", [[], [Standing(quota(None), 3, 0)]])
def test_with_nothing_limited_there_is_no_header(standings: list[Standing]) -> None:
    assert ratelimit_headers(standings, NOW_MS) == {}


def test_an_unused_minute_is_available_at_once() -> None:
    headers = ratelimit_headers([Standing(MINUTE, 0, 0)], NOW_MS + 1)
    assert headers["RateLimit"] == '"minute";r=30;t=0'
    assert headers["X-RateLimit-Reset"] == str(whole_seconds(NOW_MS + 1))


@pytest.mark.parametrize("limit", [Limit("minute", 0, 60_000), quota(0)])
def test_where_waiting_cannot_help_no_time_is_named(limit: Limit) -> None:
    assert ratelimit_headers([Standing(limit, 0, None)], NOW_MS)["RateLimit"] == f'"{limit.name}";r=0'


@pytest.mark.parametrize(("used", "left"), [(0, 500), (499, 1), (500, 0), (501, 0), (9_999, 0)])
def test_what_is_left_is_never_below_zero(used: int, left: int) -> None:
    headers = ratelimit_headers([Standing(quota(500), used, 0)], NOW_MS)
    assert headers["X-RateLimit-Remaining"] == str(left)
    assert f";r={left};" in headers["RateLimit"]


@pytest.mark.parametrize(("ends_in_ms", "seconds"), [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (0, 0), (-5_000, 0)])
def test_seconds_are_rounded_up_and_never_negative(ends_in_ms: int, seconds: int) -> None:
    headers = ratelimit_headers([Standing(quota(500, ends_in_ms), 0, 0)], NOW_MS)
    assert headers["RateLimit"].endswith(f";t={seconds}")


NUMBERS = st.integers(0, LARGEST_NUMBER)
SLIDING = st.builds(
    lambda maximum, used, wait_ms: Standing(Limit("minute", maximum, 60_000), used, wait_ms if maximum else None),
    st.one_of(st.none(), NUMBERS),
    NUMBERS,
    st.integers(0, 60_000),
)
FIXED = st.builds(
    lambda maximum, used, ends_in_ms: Standing(quota(maximum, ends_in_ms), used, 0),
    st.one_of(st.none(), NUMBERS),
    NUMBERS,
    st.integers(-10_000, MONTH_MS),
)


@given(st.lists(st.one_of(SLIDING, FIXED), max_size=3))
def test_they_are_structured_fields_that_name_the_same_policies(standings: list[Standing]) -> None:
    headers = ratelimit_headers(standings, NOW_MS)
    limited = [standing for standing in standings if standing.limit.maximum is not None]
    assert bool(headers) is bool(limited)
    if not limited:
        return
    policies, states = parsed(headers["RateLimit-Policy"]), parsed(headers["RateLimit"])
    assert [name for name, _ in policies] == [name for name, _ in states] == [s.limit.name for s in limited]
    for standing, (_, policy), (_, state) in zip(limited, policies, states, strict=True):
        assert policy == {"q": standing.limit.maximum, "w": standing.limit.window_seconds}
        assert state["r"] == standing.remaining
        assert state.keys() <= {"r", "t"} and state.get("t", 0) >= 0
    assert all(headers[f"X-RateLimit-{name}"].isdigit() for name in ("Limit", "Remaining", "Reset"))


@pytest.mark.parametrize(
    ("used", "quota_left", "overage_left"), [(0, 500, 200), (500, 0, 200), (501, 0, 199), (700, 0, 0), (9_999, 0, 0)]
)
def test_what_is_sold_above_a_quota_is_a_policy_of_its_own(used: int, quota_left: int, overage_left: int) -> None:
    headers: Headers = {}
    standings = [Standing(MINUTE, 1, 60_000), Standing(quota(700), used, None)]
    WithOverage([MINUTE, quota(700)], included=500).write(headers, standings, NOW_MS)
    texts = dict(headers.values())
    assert texts["RateLimit-Policy"] == '"minute";q=30;w=60, "quota";q=500;w=2678400, "overage";q=200;w=2678400'
    left = f'"quota";r={quota_left};t=777600, "overage";r={overage_left};t=777600'
    assert texts["RateLimit"] == f'"minute";r=29;t=60, {left}'


def test_waits_that_are_known_are_of_both_parts_of_a_quota() -> None:
    headers: Headers = {}
    WithOverage([quota(700)], included=500).write(headers, [Standing(quota(700), 600, None)], NOW_MS, [5_000])
    assert headers["ratelimit"][1] == '"quota";r=0;t=5, "overage";r=100;t=5'
