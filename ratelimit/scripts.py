"""The Lua scripts, put together from fragments when this module is loaded."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from importlib.resources import files
from typing import NamedTuple

from ratelimit.limits import LARGEST_VERSION, Outcome

LARGEST_SKEW_MS = 5_000
ARRIVED_AFTER = timedelta(milliseconds=2 * LARGEST_SKEW_MS)
"""So long after an instant no call that was made before it is judged any more: a clock may be behind, another ahead."""
KEPT_AFTER_WINDOW_MS = 3 * 24 * 3600 * 1000
"""A window's counter outlives it: calls of its last second are voided and drained after its end."""
UNLIMITED = 2**53 - 1
"""A maximum that is none."""
RECORD_LIFE_MS = 24 * 3600 * 1000
"""How long an Idempotency-Key is known."""
MOST_RERUNS = 3
"""How often a request under an Idempotency-Key runs again, uncharged, when its answer could not be kept."""


class Script(NamedTuple):
    """A script as Redis knows it: `sha` is what EVALSHA takes, `source` what SCRIPT LOAD takes."""

    name: str
    source: bytes
    sha: bytes


def _build(name: str, *fragments: str, **constants: int) -> Script:
    lua = files("ratelimit") / "lua"
    parts = [*(lua / "fragments" / f"{fragment}.lua" for fragment in fragments), lua / "scripts" / f"{name}.lua"]
    lines = [f"local {constant} = {value}" for constant, value in constants.items()]
    lines += [part.read_text(encoding="utf-8") for part in parts]
    source = "\n".join(lines).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


_LIMITS = ("counter", "limits", "ring", "ring_take", "quota")
_NUMBERS = {"LARGEST_SKEW_MS": LARGEST_SKEW_MS} | {outcome.name: outcome.value for outcome in Outcome}
_FENCES = {"LARGEST_VERSION": LARGEST_VERSION}
_RECORDS = {"RECORD_LIFE_MS": RECORD_LIFE_MS, "MOST_RERUNS": MOST_RERUNS}
ADMIT = _build("admit", *_LIMITS, **_NUMBERS)
"""For most calls: one quota, no Idempotency-Key. Each function that a script defines costs a call 0.15 us."""
ADMIT_FIRST = _build("admit", "number", *_LIMITS, "known", **_NUMBERS)
"""For the first call of an account that a process has not published."""
ADMIT_ANY = _build("admit", "number", *_LIMITS, "quotas", "record", "reservation", "keyed", **_RECORDS, **_NUMBERS)
ADMIT_WITHIN = _build(
    "admit",
    "number",
    *_LIMITS,
    "quotas",
    "record",
    "reservation",
    "keyed",
    "budgets",
    "budgets_take",
    **_RECORDS,
    **_NUMBERS,
)
"""For calls by a key, or of a run, that has budgets."""
COUNT_ANEW = _build("count_anew", "number")
VOID = _build("void", "number", "counter", "quota", "record", "budgets_back")
_RESERVATIONS = ("number", "counter", "quota", "reservation", "budgets_back")
PROLONG = _build("prolong", *_RESERVATIONS)
FINISH = _build("finish", *_RESERVATIONS)
FORGET = _build("forget", "number", "counter", "reservation", "budgets_back")
END_REQUEST = _build("end_request")
PUBLISH = _build("publish", "number", "counter", "fence", "quota", "committed", "records", **_FENCES)
RESTORE = _build("restore", "number", "records")
RELEASE_KEYS = _build("release_keys")
GIVE_UP = _build("give_up", "number", "counter", "record", **_RECORDS, **_NUMBERS)
RAISE_FENCES = _build("raise_fences", "number", "fence", **_FENCES)
ANNOUNCE_FENCE = _build("announce_fence", "number", "fence", **_FENCES)
ACKNOWLEDGE = _build("acknowledge", "number", "counter", "quota", "committed")
ACKNOWLEDGE_HEAD = _build("acknowledge_head", "number", "counter", "quota", "committed")
READ_QUOTAS = _build("read_quotas", "number", "counter", "quota", "committed")
CORRECT_PENDING = _build("correct_pending", "number", "counter", "quota", "committed")
DAMAGED = _build(
    "damaged",
    "number",
    "counter",
    "fence",
    "ring",
    "quota",
    "committed",
    "record",
    "reservation",
    **_FENCES,
    **_RECORDS,
    **_NUMBERS,
)
