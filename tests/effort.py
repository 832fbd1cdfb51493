"""How often a law is tried: a sample in `make test`, many more in `make test-long`. The one place that decides."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

LONG = os.environ.get("TESTS") == "long"


def effort(sample: int, long: int) -> int:
    """`sample` in `make test`, `long` in `make test-long`."""
    return long if LONG else sample


def examples(sample: int, long: int, **options: Any) -> settings:
    """So many examples of a property, none of them timed."""
    return settings(max_examples=effort(sample, long), deadline=None, **options)
