"""What was found of one part of the site."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from django.core.checks import CheckMessage


class Unanswered(Exception):
    """An engine cannot be reached: why, and what to do, in one line."""


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    subject: str
    state: State
    says: str
    do: str = ""
    """What to do about it; "" where nothing is to be done."""


def ok(subject: str, says: str) -> Finding:
    return Finding(subject, State.OK, says)


def warn(subject: str, says: str, do: str) -> Finding:
    return Finding(subject, State.WARN, says, do)


def fail(subject: str, says: str, do: str) -> Finding:
    return Finding(subject, State.FAIL, says, do)


def of_checks(subject: str, messages: Iterable[CheckMessage]) -> list[Finding]:
    """What start-up checks found, one line each, the worst first: Django runs them in no order."""
    return [
        Finding(subject, State.FAIL if one.is_serious() else State.WARN, f"{one.msg} ({one.id})", str(one.hint or ""))
        for one in sorted(messages, key=lambda one: (-one.level, str(one.id)))
    ]
