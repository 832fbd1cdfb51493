"""Which threshold a counter has newly crossed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

HUNDRED_PERCENT = 100


@dataclass(frozen=True, slots=True)
class Watched:
    """A limit of a usage window, and the percentages of it at which its customer is told."""

    of: str
    tokens: int
    percents: Sequence[int]

    def reached_from(self, percent: int) -> int:
        """So many tokens are at least that part of it."""
        return -(-self.tokens * percent // HUNDRED_PERCENT)


class Told(NamedTuple):
    """What was told in this window: a limit, its size then, and the percentage."""

    of: str
    tokens: int
    percent: int


class Crossing(NamedTuple):
    """What is to be told."""

    limit: Watched
    percent: int


def newly_crossed(used: int, limits: Iterable[Watched], told: Sequence[Told]) -> Crossing | None:
    """The highest threshold that is crossed, unless it was told: it, or a higher one, of a limit as large.

    So a raised limit is told of anew, and a lowered one is not. Of several limits the last that has a threshold crossed
    decides: whoever has used up all that is sold has used up what is included.
    """
    for limit in reversed([*limits]):
        crossed = [percent for percent in limit.percents if used >= limit.reached_from(percent)]
        if crossed:
            known = [each.percent for each in told if each.of == limit.of and each.tokens >= limit.tokens]
            return Crossing(limit, max(crossed)) if max(crossed) > max(known, default=0) else None
    return None


def look_from(used: int, limits: Iterable[Watched]) -> int | None:
    """From how many tokens on there may be more to tell; None where there never is."""
    ahead = [tokens for limit in limits for percent in limit.percents if (tokens := limit.reached_from(percent)) > used]
    return min(ahead, default=None)
