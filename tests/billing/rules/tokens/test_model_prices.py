"""model_prices.py: what units cost, and how many of them are affordable (law R3)."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from billing.rules.tokens.model_prices import (
    LARGEST_RATE,
    MOST_TOKENS,
    MOST_UNITS,
    UNITS,
    ModelRates,
    WrongUnits,
    affordable,
    cost,
    read_units,
)

LARGE = ModelRates("m-large", "ai_agent_query", 2_000, 100, 2_500, 8_000, 0, 1)
"""2 tokens for 1,000 units of input, 8 for output."""

rates = st.builds(
    ModelRates,
    st.just("m"),
    st.just("f"),
    *[st.integers(0, 20_000) | st.just(0) for _ in range(5)],
    st.just(1),
)
numbers = st.none() | st.just(0) | st.integers(0, 200_000)
some_units = st.dictionaries(st.sampled_from(UNITS), numbers)


class TestCost:
    @pytest.mark.parametrize(
        ("units", "tokens"),
        [
            ({"input": 1_200, "output": 800}, 9),
            ({"input": 300, "cache_read": 900, "cache_write": 0, "output": 412}, 4),
            ({"input": 1}, 1),
            ({"input": 500}, 1),
            ({"input": 501}, 2),
            ({"input": 0, "output": None}, 0),
            ({}, 0),
        ],
    )
    def test_by_example(self, units: dict[str, int | None], tokens: int) -> None:
        assert cost(LARGE, units) == tokens

    def test_cached_is_cheaper_than_read_anew(self) -> None:
        assert cost(LARGE, {"cache_read": 100_000}) == 10 < cost(LARGE, {"input": 100_000}) == 200

    def test_the_fixed_part_is_of_every_call(self) -> None:
        assert cost(LARGE._replace(fixed=1_500), {}) == 2
        assert cost(LARGE._replace(fixed=1_500), {"input": 250}) == 2

    @given(rates, some_units)
    def test_rounded_up_once(self, price: ModelRates, units: dict[str, int | None]) -> None:
        exact = Fraction(price.fixed, 1_000) + sum(
            Fraction((number or 0) * price.of(unit), 1_000 * 1_000) for unit, number in units.items()
        )
        assert cost(price, units) == ceil(exact)

    @given(rates, some_units, st.sampled_from(UNITS), st.integers(0, 5_000))
    def test_more_units_never_cost_less(
        self, price: ModelRates, units: dict[str, int | None], unit: str, more: int
    ) -> None:
        assert cost(price, units | {unit: (units.get(unit) or 0) + more}) >= cost(price, units)

    def test_one_call_has_a_most_that_it_can_cost(self) -> None:
        dear = LARGE._replace(output=LARGEST_RATE)
        assert cost(dear, {"output": MOST_TOKENS // 1_000}) == MOST_TOKENS
        with pytest.raises(ValueError, match="too_costly, unit=output"):
            cost(dear, {"input": 5, "output": MOST_TOKENS // 1_000 + 1})


class TestUnits:
    @given(some_units)
    def test_not_reported_is_kept_apart_from_zero_and_costs_as_little(self, units: dict[str, int | None]) -> None:
        assert read_units(units) == units
        assert cost(LARGE, units) == cost(LARGE, {unit: number or 0 for unit, number in units.items()})

    @pytest.mark.parametrize(
        ("units", "refused"),
        [
            ({"input": -1}, "negative, unit=input"),
            ({"output": 1.5}, "not_whole, unit=output"),
            ({"output": "7"}, "not_whole, unit=output"),
            ({"output": True}, "not_whole, unit=output"),
            ({"cache_write": MOST_UNITS + 1}, "too_many, unit=cache_write"),
            ({"images": 1}, "unknown, unit=images"),
            ({"input": 1, "total_tokens": 3}, "overlapping, unit=total_tokens, names=all units"),
            ({"output": 3, "reasoning_tokens": 1}, "overlapping, unit=reasoning_tokens, names=output"),
            ({"prompt_tokens": 3}, "overlapping, unit=prompt_tokens, names=input and cache_read"),
        ],
    )
    def test_what_is_refused_and_why(self, units: dict[str, Any], refused: str) -> None:
        for judge in (read_units, lambda given: cost(LARGE, given), lambda given: affordable(LARGE, given, 9)):
            with pytest.raises(ValueError, match=refused) as error:
                judge(units)
            assert isinstance(error.value, WrongUnits)


class TestAffordable:
    @pytest.mark.parametrize(
        ("units", "tokens", "fits"),
        [
            ({"input": 1_200, "output": 800}, 9, {"output": 825}),
            ({"input": 1_200, "output": 800}, 5, {"output": 325}),
            ({"input": 1_200, "output": 800}, 2, {"output": 0, "input": 1_000}),
            ({"input": 1_200, "output": 800}, 0, {"output": 0, "input": 0}),
            ({"input": 1_200}, 1, {"input": 500}),
            ({"input": 1_200, "cache_read": 90_000}, 1, {"cache_read": 0, "input": 500}),
            ({"input": 1_200, "output": 0}, 1, {"input": 500}),
            ({"input": 0}, 1, {}),
            ({}, 1, {}),
        ],
    )
    def test_by_example(self, units: dict[str, int], tokens: int, fits: dict[str, int]) -> None:
        assert affordable(LARGE, units, tokens) == fits

    def test_nothing_passes_where_the_fixed_part_does_not(self) -> None:
        assert affordable(LARGE._replace(fixed=5_000), {"output": 9}, 4) == {}

    def test_a_unit_that_costs_nothing_is_not_cut(self) -> None:
        assert affordable(LARGE._replace(output=0), {"input": 1_200, "output": 9}, 1) == {"input": 500}

    @given(rates, some_units, st.integers(0, 2_000) | st.just(10 * MOST_TOKENS))
    def test_so_many_pass_and_one_more_does_not(
        self, price: ModelRates, units: dict[str, int | None], tokens: int
    ) -> None:
        """Law R3."""
        fits = affordable(price, units, tokens)
        if not fits:
            none = {unit: number for unit, number in units.items() if number is None or not price.of(unit)}
            assert cost(price, none) > tokens or cost(price, units) == cost(price, {})
            return
        passes = units | fits
        assert cost(price, passes) <= tokens
        *cut, last = fits
        assert all(fits[unit] == 0 for unit in cut)
        assume(fits[last] < MOST_UNITS)
        one_more = passes | {last: fits[last] + 1}
        assert _cost(price, one_more) > min(tokens, MOST_TOKENS)
        if cut:
            assert _cost(price, passes | {last: units[last]}) > tokens, "only what has to is cut to nothing"


def _cost(price: ModelRates, units: dict[str, int | None]) -> int:
    try:
        return cost(price, units)
    except WrongUnits:
        return MOST_TOKENS + 1
