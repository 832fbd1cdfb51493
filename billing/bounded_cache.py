"""A mapping that forgets its oldest entry when it is full."""

from __future__ import annotations

from contextlib import suppress
from typing import Generic, TypeVar

K = TypeVar("K")


V = TypeVar("V")


class BoundedCache(dict[K, V], Generic[K, V]):
    """A mapping that forgets its oldest entry when it is full. Reads take no lock; the size is a setting."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def remember(self, key: K, value: V) -> V:
        self[key] = value
        while len(self) > self.size:
            # Another thread may add to it at this moment; then the next turn finds the oldest.
            with suppress(RuntimeError, StopIteration):
                self.pop(next(iter(self)), None)
        return value
