"""Every environment variable that this program reads, and those that are set and look like one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

ALIKE: Final = 0.85
"""ALLOWED_HOST and REDIS_TIMEOUT are as near as that to ALLOWED_HOSTS and REDIS_TIMEOUT_MS; HTTPS_PROXY is not."""


@dataclass(frozen=True)
class Variable:
    """One variable, in words for those who set it."""

    name: str
    group: str
    default: str
    """The value that holds while it is unset; "" where there is none."""
    unset: str
    """What holds then, in words, where that is no value of its own."""
    takes: str
    """What it must be."""
    meaning: str


variables: Final[dict[str, Variable]] = {}
"""By name, in the order in which they were read."""


def note(variable: Variable) -> None:
    variables[variable.name] = variable


def mistaken(given: Iterable[str]) -> dict[str, str]:
    """Names that nobody reads and that look like a variable's -> that variable. Call it when all were read."""
    return {name: found for name in sorted(given) if name not in variables and (found := _nearest(name))}


def _nearest(name: str) -> str:
    likeness = {known: SequenceMatcher(None, name.upper(), known).ratio() for known in variables}
    best = max(likeness, key=likeness.__getitem__, default="")
    return best if best and likeness[best] >= ALIKE else ""
