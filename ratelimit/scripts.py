"""The Lua scripts, put together from fragments when this module is loaded."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple

LARGEST_SKEW_MS = 5_000
RECEIPT_LIFE_MS = 24 * 3600 * 1000


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


ADMIT = _build(
    "admit",
    "counter",
    "limits",
    "ring",
    "quota",
    "receipt",
    LARGEST_SKEW_MS=LARGEST_SKEW_MS,
    RECEIPT_LIFE_MS=RECEIPT_LIFE_MS,
)
VOID = _build("void", "number", "counter", "quota", "receipt")
TELL = _build("tell", "number", "counter", "fence", "quota", "ledger", "bought")
RECALL = _build("recall", "number", "bought")
FORGET = _build("forget")
RAISE = _build("raise", "number", "counter", "fence")
ANNOUNCE = _build("announce", "number", "counter", "fence")
ACKNOWLEDGE = _build("acknowledge", "number", "counter", "quota", "ledger")
TRIM = _build("trim", "number", "counter", "quota", "ledger")
LOOK = _build("look", "counter")
MEND = _build("mend", "number", "counter", "quota", "ledger")
