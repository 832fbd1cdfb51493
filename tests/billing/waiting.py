"""Waiting for what other threads and processes do, without guessing how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60


def until(happened: Callable[[], bool]) -> None:
    """Return as soon as it has happened; fail after a minute."""
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < gives_up_at, "it has not happened within a minute"
        time.sleep(0.005)
