"""Interleaved rounds: each contestant for a short while, in an order that changes, again and again."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from time import perf_counter_ns
from typing import NamedTuple


class Contestant(NamedTuple):
    """`call` is timed; `before` is not, and leaves its engines as they are at the start of every round."""

    call: Callable[[], None]
    before: Callable[[], None]


class Timing(NamedTuple):
    """Microseconds a call: the median of the rounds, and between what the middle half of them lies."""

    us: float
    low: float
    high: float

    @property
    def spread(self) -> str:
        return f"{self.low:.0f} to {self.high:.0f}"


def measure(contestants: Mapping[str, Contestant], rounds: int, calls: int) -> dict[str, list[float]]:
    """Each round's median in microseconds, by contestant. What else the machine does hits all of them alike."""
    medians: dict[str, list[float]] = {name: [] for name in contestants}
    order = list(contestants)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            medians[name].append(_round(contestants[name], calls))
    return medians


def timing(medians: Sequence[float], less: Sequence[float] | None = None) -> Timing:
    """What a contestant takes or, `less` another, what it adds to that one within the same round."""
    values = medians if less is None else [one - other for one, other in zip(medians, less, strict=True)]
    low, _, high = quantiles(values, n=4)
    return Timing(median(values), low, high)


def _round(contestant: Contestant, calls: int) -> float:
    contestant.before()
    call = contestant.call
    for _ in range(5):
        call()
    taken = []
    for _ in range(calls):
        began = perf_counter_ns()
        call()
        taken.append(perf_counter_ns() - began)
    return median(taken) / 1000
