"""Usage blocks as units and back: nothing is counted twice, and what is not reported is not 0."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_site.agent.usage_block import block_of, units_of

counts = st.integers(min_value=0, max_value=10**9)


def units(**known: int | None) -> dict[str, int | None]:
    return {"input": None, "cache_read": None, "cache_write": None, "output": None} | known


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 3}, units(input=7, output=3)),
        (
            {"prompt_tokens": 7, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 5}},
            units(input=2, cache_read=5, output=9),
        ),
        (
            {"prompt_tokens": 7, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 6}},
            units(input=7, output=9),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, units(input=0, output=0)),
        ({"prompt_tokens": 7}, units(input=7)),
        ({"completion_tokens": 7, "prompt_tokens": None}, units(output=7)),
        ({"prompt_tokens": 7, "prompt_tokens_details": None}, units(input=7)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, units(input=0, cache_read=3)),
    ],
)
def test_it_is_read_as_disjoint_units(usage: Any, expected: Any) -> None:
    assert units_of(usage) == expected


@pytest.mark.parametrize(
    "usage", [None, {}, [], "7", {"prompt_tokens": -1}, {"prompt_tokens": 1.5}, {"completion_tokens": True}]
)
def test_what_is_no_report_is_none(usage: Any) -> None:
    assert units_of(usage) is None


@given(read=counts, cached=counts, written=counts)
def test_what_is_written_is_read_again(read: int, cached: int, written: int) -> None:
    block = block_of(units(input=read, cache_read=cached, output=written))
    assert units_of(block) == units(input=read, cache_read=cached, output=written)
    assert block["total_tokens"] == read + cached + written
