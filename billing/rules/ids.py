"""Ids that sort by time: UUIDv7 (RFC 9562). One is minted before each call is admitted, so it costs little."""

from __future__ import annotations

import os

from ratelimit import process_state

MINTED_AHEAD = 32
_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The first hexadecimal digit of a UUID's second half: two bits say which kind it is, two are random."""


_random_parts: list[str] = process_state.remember(__name__, "_random_parts", list)
"""Of the ids to come: the system is asked for many at a time."""


def mint(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562) as text: 48 bits of Unix milliseconds, then 74 random bits."""
    time = f"{now_ms:012x}"
    try:
        random = _random_parts.pop()
    except IndexError:
        random = _draw()
    return f"{time[:8]}-{time[8:]}-7{random}"


def _draw() -> str:
    """A random part; more are put by."""
    digits = os.urandom(10 * MINTED_AHEAD).hex()
    drawn = [digits[at : at + 19] for at in range(0, len(digits), 20)]
    first, *more = [f"{part[:3]}-{_VARIANT[part[3]]}{part[4:7]}-{part[7:]}" for part in drawn]
    _random_parts.extend(more)
    return first
