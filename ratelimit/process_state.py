"""What a process remembers by itself, in one list: a forked child starts with none of it."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_remembered: list[tuple[weakref.ref[Any], str, Callable[[], Any]]] = []


def remember(holder: object, name: str, make: Callable[[], T]) -> T:
    """A first value for `holder.name`, which every process has for itself: a cache, a lock, a circuit.

    `holder` is an object, or the name of a module (`__name__`). It is held weakly.
    """
    owner = sys.modules[holder] if isinstance(holder, str) else holder
    _remembered.append((weakref.ref(owner), name, make))
    return make()


def remembered() -> Iterator[tuple[Any, str, Callable[[], Any]]]:
    """Of everything that is remembered: its holder, its attribute, and what makes its first value."""
    for reference, name, make in list(_remembered):
        holder = reference()
        if holder is not None:
            yield holder, name, make


def start_anew() -> None:
    """Forget everything, as a new process has."""
    for holder, name, make in remembered():
        setattr(holder, name, make())


os.register_at_fork(after_in_child=start_anew)
