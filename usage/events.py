"""The audit event: its id, minted before a call is admitted, and its text in the stream. Pure values."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, replace
from typing import Any

from ratelimit.limits import LARGEST_NUMBER

FORMAT = 1
LATEST_MS = 253_370_764_800_000 - 1
"""The end of the year 9998: a year later the month that an instant falls into has no end that Python can name."""
DEEPEST_METADATA = 32
CHARGE, VOID = "charge", "void"
GATEWAY, TRACK = "gateway", "track"
LONGEST_TEXTS = {
    "charge": 36,
    "feature": 50,
    "source": 10,
    "key_prefix": 8,
    "kind": 10,
    "receipt": 32,
    "fingerprint": 32,
}
"""What the columns of PostgreSQL hold."""


class MalformedEvent(ValueError):
    """The text is not an event of a known format."""


def mint(now_ms: int) -> str:
    """A UUIDv7 (RFC 9562) as text: 48 bits of Unix milliseconds, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    value = (now_ms << 80) | (0x7 << 76) | ((random >> 68) << 64) | (0b10 << 62) | (random & ((1 << 62) - 1))
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def minted_at_ms(event: str) -> int:
    """When the call was charged, which is when its id was minted; in Unix milliseconds."""
    return uuid.UUID(event).int >> 80


def void_of(charge: uuid.UUID) -> uuid.UUID:
    """The id of the event that takes a charge back: the charge's with its last bit, which is random, turned over.

    So the log in the order of its ids is in the order of time, with every void beside its charge.
    """
    return uuid.UUID(int=charge.int ^ 1)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of an account's usage: a charge, or what takes (part of) one back.

    `tokens` is signed, so the sum over the log is the counter; a void is the adjustment that takes all of it back.
    `charge` is the id of the charge, whose instant picks the window and the partition, for whatever happens to it.
    `receipt` is the digest of the Idempotency-Key it was made under, `fingerprint` that of the request; "" without one.
    """

    charge: str
    kind: str
    account: int
    window_start: int
    window_end: int
    feature: str
    tokens: int
    at_ms: int
    source: str = GATEWAY
    key_prefix: str = ""
    metadata: dict[str, Any] | None = None
    receipt: str = ""
    fingerprint: str = ""

    @property
    def id(self) -> uuid.UUID:
        """Unique in the log and the same on every delivery: the charge's own, or one derived from it."""
        charge = uuid.UUID(self.charge)
        return charge if self.kind == CHARGE else void_of(charge)

    @property
    def charged_at_ms(self) -> int:
        return minted_at_ms(self.charge)

    def voided(self, at_ms: int) -> Event:
        """The compensating event of this charge."""
        return replace(self, kind=VOID, tokens=-self.tokens, at_ms=at_ms)

    def charged(self) -> Event:
        """The charge that this event takes back: it carries all of it, since it may be stored first."""
        return replace(self, kind=CHARGE, tokens=-self.tokens, at_ms=self.charged_at_ms)

    def encode(self) -> bytes:
        """Raises MalformedEvent for metadata that `decode` refuses: what the drain sets aside is never billed."""
        if self.metadata is not None and not storable(self.metadata):
            raise MalformedEvent("the metadata are no object that PostgreSQL can hold")
        fields = [FORMAT, self.charge, self.kind, self.account, self.window_start, self.window_end, self.feature]
        fields += [self.tokens, self.at_ms, self.source, self.key_prefix, self.metadata]
        if self.receipt:
            fields += [self.receipt, self.fingerprint]
        return json.dumps(fields, separators=(",", ":")).encode()


def decode(text: bytes) -> Event:
    """Raises MalformedEvent, which says what is wrong, for anything `encode` has not written."""
    try:
        version, *fields = json.loads(text)
        if version != FORMAT:
            raise MalformedEvent(f"format {version!r} is not {FORMAT}")
        event = Event(*fields)
        _check(event)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error
    return event


def _check(event: Event) -> None:
    numbers = (event.account, event.window_start, event.window_end, event.at_ms, abs(event.tokens), event.charged_at_ms)
    if any(type(number) is not int or not 0 <= number <= LARGEST_NUMBER for number in numbers):
        raise MalformedEvent("a number is out of bounds")
    for name, length in LONGEST_TEXTS.items():
        text = getattr(event, name)
        if type(text) is not str or len(text) > length or not text.isprintable():
            raise MalformedEvent(f"{name} is no text of at most {length} printable characters")
    if str(uuid.UUID(event.charge)) != event.charge:
        raise MalformedEvent("the charge is no UUID as PostgreSQL reads it")
    if event.kind not in (CHARGE, VOID) or not event.window_start < event.window_end:
        raise MalformedEvent(f"a {event.kind} in a window from {event.window_start} to {event.window_end}")
    if max(event.charged_at_ms, event.at_ms, event.window_end * 1000) > LATEST_MS:
        raise MalformedEvent("an instant lies after the year 9998")
    if event.metadata is not None and not storable(event.metadata):
        raise MalformedEvent("the metadata are no object that PostgreSQL can hold")


def storable(metadata: object) -> bool:
    """Whether PostgreSQL's jsonb holds it: an object, not too deep, without NUL, lone surrogates, NaN or infinity."""
    if not isinstance(metadata, dict) or _deeper_than(DEEPEST_METADATA, metadata):
        return False
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError):
        return False
    # An escaped backslash before "u0000" is six harmless characters, not a NUL.
    return "\\u0000" not in text.replace("\\\\", "")


def _deeper_than(levels: int, value: object) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_deeper_than(levels - 1, part) for part in value)
