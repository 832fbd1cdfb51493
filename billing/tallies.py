"""What background processes have done, counted for /metrics: nobody scrapes those processes, so the counts are shared.

They are kept in the cache. Emptying it begins them anew, as the restart of a process begins its own; nothing is billed
by them.
"""

from __future__ import annotations

from contextlib import suppress

from django.core.cache import cache

PREFIX = "tally:"


def add(name: str, number: int) -> None:
    """Count so many more; lost where the cache is out of reach."""
    if number:
        cache.add(PREFIX + name, 0, timeout=None)
        with suppress(ValueError):  # emptied in between
            cache.incr(PREFIX + name, number)


def read(names: list[str]) -> dict[str, int]:
    """What was counted; nothing of those that were not, or while the cache is out of reach."""
    found = cache.get_many([PREFIX + name for name in names])
    return {key.removeprefix(PREFIX): int(value) for key, value in found.items()}
