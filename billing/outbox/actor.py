"""Who is at work: doors say it, and each message that is written meanwhile names them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SYSTEM = ""
"""Nobody: beat, or a command."""
_present: ContextVar[str] = ContextVar("actor", default=SYSTEM)


def user(number: int) -> str:
    """A person who is logged in: a member of the account, or staff."""
    return f"user:{number}"


def key(prefix: str) -> str:
    """A program with an API key."""
    return f"key:{prefix}"


def present() -> str:
    return _present.get()


@contextmanager
def acting_as(actor: str) -> Iterator[None]:
    """What happens within was done by this actor: see `user` and `key`."""
    token = _present.set(actor)
    try:
        yield
    finally:
        _present.reset(token)


def number_of(actor: str) -> int | None:
    """The user behind an actor; None of a key, and of nobody."""
    kind, _, name = actor.partition(":")
    return int(name) if kind == "user" else None
