"""Instants as whole numbers: there and back, and down where they do not fit."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.instants import EPOCH, from_ms, from_seconds, to_ms, to_seconds

LAST_MS = to_ms(datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC))


@given(st.integers(min_value=-(10**12), max_value=LAST_MS))
def test_there_and_back(milliseconds: int) -> None:
    assert to_ms(from_ms(milliseconds)) == milliseconds


@pytest.mark.parametrize(("microseconds", "milliseconds"), [(0, 0), (999, 0), (1000, 1), (1999, 1), (-1, -1)])
def test_a_fraction_is_rounded_down(microseconds: int, milliseconds: int) -> None:
    assert to_ms(EPOCH + timedelta(microseconds=microseconds)) == milliseconds


@pytest.mark.parametrize(("milliseconds", "seconds"), [(0, 0), (999, 0), (1000, 1), (-1, -1)])
def test_seconds_are_rounded_down_too(milliseconds: int, seconds: int) -> None:
    assert to_seconds(from_ms(milliseconds)) == seconds
    assert to_seconds(from_seconds(seconds)) == seconds


def test_other_zones_name_the_same_instant() -> None:
    at = datetime(2025, 11, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert from_ms(to_ms(at)) == at == datetime(2025, 11, 1, tzinfo=UTC)
