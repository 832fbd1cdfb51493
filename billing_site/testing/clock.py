"""A clock that tests move: the process judges the minute by it, not the Redis server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from freezegun import freeze_time

MIDDLE_OF_MARCH = "2031-03-14T10:20:30.400Z"
"""Later than any real day these tests run on: Redis expires keys by its own clock."""


@contextmanager
def moved_by_hand(start: str = MIDDLE_OF_MARCH) -> Iterator[Any]:
    """Time stands still at `start` until the yielded clock's `tick(seconds)` or `move_to(instant)`."""
    with _by_the_process(), freeze_time(start, real_asyncio=True) as clock:  # loops of async views go on
        yield clock


@contextmanager
def _by_the_process() -> Iterator[None]:
    """Set where it is held: an override of all settings could end before one of pytest's that began in it, and stay."""
    held = settings._wrapped  # type: ignore[misc]
    before = held.RATELIMIT_CLOCK

    def say(clock: str) -> None:
        held.RATELIMIT_CLOCK = clock
        settings.__dict__.pop("RATELIMIT_CLOCK", None)  # what Django remembers of its look-up

    say("process")
    try:
        yield
    finally:
        say(before)
