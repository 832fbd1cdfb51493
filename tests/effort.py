"""How often a law is tried: a sample in `make test`, many more in `make test-long`. The one place that decides."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings

T = TypeVar("T")
LONG = os.environ.get("TESTS") == "long"


def choose_examples() -> None:
    """No property is timed; one that says nothing of its examples has a hundred, in `make test-long` a thousand."""
    settings.register_profile("this run", deadline=None, max_examples=effort(100, 1_000))
    settings.load_profile("this run")


def effort(sample: int, long: int) -> int:
    """`sample` in `make test`, `long` in `make test-long`."""
    return long if LONG else sample


def examples(sample: int, long: int, **options: Any) -> settings:
    """So many examples of a property."""
    return settings(max_examples=effort(sample, long), **options)


def some(items: Iterable[T], one_in: int) -> list[T]:
    """The first and each so many-th after it in `make test`, all of them in `make test-long`."""
    return list(items)[:: effort(one_in, 1)]


def in_turn(items: Sequence[T], turn: int) -> list[T]:
    """One of them in `make test`, another at each turn; all of them in `make test-long`."""
    return list(items) if LONG else [items[turn % len(items)]]


def long_only(seconds: int, what_stays: str) -> pytest.MarkDecorator:
    """For a test that takes so many seconds here; what else `make test` has of the kind."""
    return pytest.mark.skipif(not LONG, reason=f"takes {seconds} s: make test-long. Without it there is {what_stays}")
