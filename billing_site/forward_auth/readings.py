"""The paths that a server may read a request's target as. Pure.

A proxy passes on what its client wrote, and the product behind it is any software: some decode `%2f` before they
route and some after it, some resolve dots, some cut `;parameters` off. Whoever charges only its own reading serves
another one uncharged (law L8).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from billing.models.catalogue.features import normalised_path

ABSOLUTE: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#]*", re.IGNORECASE | re.ASCII)
PLAIN: Final = re.compile(r"(?!//)(?:/(?!\.)[^%;#\\/?\x00-\x20\x7f-\U0010ffff]*)+")
"""A path that is read in one way only; `//` at its start could be a host's name."""
CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]")


class Unreadable(ValueError):
    """The target is none that a client sends to a server, in a sentence."""


def readings(target: str) -> frozenset[str]:
    """The normalised paths that a server may read the target of a request as. Raises Unreadable."""
    path = target.partition("?")[0]
    if PLAIN.fullmatch(path):
        return frozenset({normalised_path(path)})
    if absolute := ABSOLUTE.match(path):
        path = path[absolute.end() :] or "/"
    if not path.startswith("/"):
        raise Unreadable("It is no path that begins with a slash.")
    found = {_decoded(path), _decoded(re.sub("%2f", "%252f", path, flags=re.IGNORECASE))}
    if any(CONTROLS.search(one) for one in found):
        raise Unreadable("It has control characters.")
    for read in OTHERWISE:
        found |= {read(one) for one in found}
    return frozenset(normalised_path(one) for one in found)


def _decoded(path: str) -> str:
    """Percent-decoded once. WSGI gives what came as Latin-1."""
    return unquote_to_bytes(path.encode("latin-1", "replace")).decode(errors="replace")


def _resolved(path: str) -> str:
    """Without dot segments, as RFC 3986 removes them."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)


OTHERWISE: Final[tuple[Callable[[str], str], ...]] = (
    lambda path: re.sub(r"^//+[^/?#]*", "", path),  # a host's name after two slashes
    lambda path: re.split(r"[?#]", path)[0],  # decoded before the query is cut off
    lambda path: path.replace("\\", "/"),
    lambda path: re.sub(r";[^/]*", "", path),  # parameters of a segment
    _resolved,
)
"""What some servers do to a path, in this order; each may or may not."""
