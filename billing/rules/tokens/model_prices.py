"""What a call of a model costs: its units at the rates of a price, rounded up once.

Units are disjoint: `input` is what was read from no cache, and reasoning is `output`. None says that a unit was not
reported, 0 that it was reported as zero; both cost nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from billing.rules.refused import Refused

Units = Mapping[str, "int | None"]
"""How many of each unit, by name; a unit that is left out was not reported."""

UNITS: Final = ("input", "cache_read", "cache_write", "output")
PER_UNITS: Final = 1_000
"""A rate is of so many units."""
PER_TOKEN: Final = 1_000
"""Rates and the fixed part are in thousandths of a token."""
MOST_UNITS: Final = 10**9
"""Of one kind in one call."""
MOST_TOKENS: Final = 10**9
"""That one call can cost."""
LARGEST_RATE: Final = 10**9

CONTAINS: Final = {
    "prompt_tokens": "input and cache_read",
    "input_tokens": "input and cache_read",
    "cached_tokens": "cache_read",
    "completion_tokens": "output",
    "output_tokens": "output",
    "reasoning_tokens": "output",
    "reasoning": "output",
    "total_tokens": "all units",
    "total": "all units",
}
"""Names that providers have for what overlaps: with them a unit would be charged twice, or a cached one in full."""


class WrongUnits(Refused, ValueError):
    """No number of units can be read, or their cost is out of bounds. Parameter: `unit`, and `names` of an overlap."""

    code = "wrong_units"


class ModelRates(NamedTuple):
    """A price of a model at a feature. Rates are of PER_UNITS units, all in thousandths of a token."""

    model: str
    feature: str
    input: int
    cache_read: int
    cache_write: int
    output: int
    fixed: int
    version: int
    """The number of the price's row: it stays, whatever prices follow."""

    def of(self, unit: str) -> int:
        """The rate of one kind of unit."""
        rate: int = getattr(self, unit)
        return rate


_MILLIONTHS: Final = PER_UNITS * PER_TOKEN
"""Of a token, which a unit times its rate comes to."""


def read_units(given: Mapping[str, object]) -> Units:
    """The same, with None kept. Raises WrongUnits for names and numbers that are none of a unit's."""
    units: dict[str, int | None] = {}
    for name, number in given.items():
        if name in CONTAINS:
            raise WrongUnits(reason="overlapping", unit=name, names=CONTAINS[name])
        if name not in UNITS:
            raise WrongUnits(reason="unknown", unit=str(name)[:50])
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise WrongUnits(reason="not_whole", unit=name)
        if number is not None and number < 0:
            raise WrongUnits(reason="negative", unit=name)
        if number is not None and number > MOST_UNITS:
            raise WrongUnits(reason="too_many", unit=name, most=MOST_UNITS)
        units[name] = number
    return units


def cost(rates: ModelRates, units: Units) -> int:
    """In whole tokens, rounded up once. Raises WrongUnits, also for what costs more than MOST_TOKENS."""
    tokens = -(-_millionths(rates, read_units(units)) // _MILLIONTHS)
    if tokens > MOST_TOKENS:
        raise WrongUnits(reason="too_costly", unit=max(UNITS, key=lambda unit: (units.get(unit) or 0) * rates.of(unit)))
    return tokens


def affordable(rates: ModelRates, units: Units, tokens: int) -> dict[str, int]:
    """How many of a unit `tokens` pay for, with the other units as asked: so many pass, and one more does not.

    The unit is `output`, where some is asked for and it costs something; otherwise the one with the largest number.
    Where even none of it would pass, it is 0 in the answer, and the next unit is looked at. Empty: nothing passes.
    """
    asked = {name: number for name, number in read_units(units).items() if number}
    budget = min(tokens, MOST_TOKENS) * _MILLIONTHS
    numbers: dict[str, int] = {}
    costly = [unit for unit in asked if rates.of(unit)]
    for unit in sorted(costly, key=lambda unit: (unit != "output", -asked[unit])):
        asked[unit] = 0
        room = budget - _millionths(rates, asked)
        numbers[unit] = min(max(room, 0) // rates.of(unit), MOST_UNITS)
        if room >= 0:
            return numbers
    return {}


def _millionths(rates: ModelRates, units: Units) -> int:
    of_units = sum((number or 0) * rates.of(unit) for unit, number in units.items())
    return of_units + rates.fixed * PER_UNITS
