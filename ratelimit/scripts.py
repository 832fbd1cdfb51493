"""The Lua scripts, put together from fragments when this module is loaded."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import NamedTuple


class Script(NamedTuple):
    """A script as Redis knows it: `sha` is what EVALSHA takes, `source` what SCRIPT LOAD takes."""

    name: str
    source: bytes
    sha: bytes


def _build(name: str, *fragments: str) -> Script:
    folder = files("ratelimit") / "lua"
    source = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in (*fragments, name)).encode()
    return Script(name, source, hashlib.sha1(source, usedforsecurity=False).hexdigest().encode())


ADMIT = _build("admit", "number", "fence", "ring", "quota", "receipt")
VOID = _build("void", "number", "quota", "receipt")
TELL = _build("tell", "number", "fence", "quota")
RECALL = _build("recall", "number")
RAISE = _build("raise", "number", "fence")
ACKNOWLEDGE = _build("acknowledge", "number", "quota")
TRIM = _build("trim", "number", "quota")
LOOK = _build("look", "number")
MEND = _build("mend", "number", "quota")
