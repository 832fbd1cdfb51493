"""The audit event: its id, minted before a call is admitted, and its text in the stream. Pure values."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.scanner import make_scanner
from operator import lt
from struct import Struct
from typing import Any, NamedTuple

from ratelimit.limits import LARGEST_NUMBER

FORMAT = 1
LATEST_MS = 253_370_764_800_000 - 1
"""The end of the year 9998: a year later the month that an instant falls into has no end that Python can name."""
DEEPEST_METADATA = 32
MINTED_AHEAD = 32
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
_scan_json = make_scanner(json.JSONDecoder())  # type: ignore[arg-type] # as json.decoder calls it
# Metadata are looked through before they are written, so circles need no second look.
_write_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_quoted = lru_cache(4_096)(_write_json)
"""Of the texts that many events have in common."""
_is_id = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
"""An event's id as `mint` and PostgreSQL write it."""


_first_halves = Struct(">Q8x").iter_unpack
"""Of many UUIDs' bytes."""


class MalformedEvent(ValueError):
    """The text is not an event of a known format."""


_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The first hexadecimal digit of a UUID's second half: two bits say which kind it is, two are random."""


_random_parts: list[str] = []
"""Of the ids to come: the system is asked for many at a time."""
os.register_at_fork(after_in_child=_random_parts.clear)


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


def minted_at_ms(event: str) -> int:
    """When the call was charged, which is when its id was minted; in Unix milliseconds."""
    return int(event[:8] + event[9:13], 16)


def minted_all_at_ms(events: Iterable[str]) -> list[int]:
    """`minted_at_ms` of each, at a third of the cost."""
    return [half >> 16 for (half,) in _first_halves(bytes.fromhex("".join(events).replace("-", "")))]


def instant(milliseconds: int) -> datetime:
    """Unix milliseconds as what PostgreSQL stores."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def void_of(charge: uuid.UUID) -> uuid.UUID:
    """The id of the event that takes a charge back: the charge's with its last bit, which is random, turned over.

    So the log in the order of its ids is in the order of time, with every void beside its charge.
    """
    return uuid.UUID(int=charge.int ^ 1)


class Event(NamedTuple):
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
        return self._replace(kind=VOID, tokens=-self.tokens, at_ms=at_ms)

    def charged(self) -> Event:
        """The charge that this event takes back: it carries all of it, since it may be stored first."""
        return self._replace(kind=CHARGE, tokens=-self.tokens, at_ms=self.charged_at_ms)

    def encode(self) -> bytes:
        """Raises MalformedEvent for metadata that `decode` refuses: what the drain sets aside is never billed."""
        if self.metadata is not None and not storable(self.metadata):
            raise MalformedEvent("the metadata are no object that PostgreSQL can hold")
        return framed(self.frame(), self.charge, self.at_ms)

    def frame(self) -> tuple[str, str]:
        """What its text has between its id and its instant, and what behind that."""
        metadata = "null" if self.metadata is None else _write_json(self.metadata)
        receipt = f",{_quoted(self.receipt)},{_quoted(self.fingerprint)}" if self.receipt else ""
        # A list as JSON, put together here: the encoder takes twice as long for it.
        between = f'","{self.kind}",{self.account},{self.window_start},{self.window_end},{_quoted(self.feature)},'
        return (
            f"{between}{self.tokens},",
            f",{_quoted(self.source)},{_quoted(self.key_prefix)},{metadata}{receipt}]",
        )


def framed(frame: tuple[str, str], event_id: str, at_ms: int) -> bytes:
    """The text of an event of which only id and instant are its own."""
    return f'[{FORMAT},"{event_id}{frame[0]}{at_ms}{frame[1]}'.encode()


def decode(text: bytes) -> Event:
    """Raises MalformedEvent, which says what is wrong, for anything `encode` has not written."""
    return decode_all([text])[0]


def decode_all(texts: Sequence[bytes]) -> list[Event]:
    """All of them. Raises MalformedEvent when any is not what `encode` has written; `decode` tells which."""
    if not texts:
        return []
    try:
        written = [*map(bytes.decode, texts)]
        found = [_scan_json(text, 0) for text in written]
        if [end for _, end in found] != [*map(len, written)]:
            raise MalformedEvent("something follows the event")
        if (formats := {fields[0] for fields, _ in found}) != {FORMAT}:
            raise MalformedEvent(f"format {', '.join(map(str, formats))} is not {FORMAT}")
        events = [Event(*fields[1:]) for fields, _ in found]
        _check(events)
    except StopIteration as error:
        raise MalformedEvent("no JSON") from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error
    return events


def _check(events: Sequence[Event]) -> None:
    """Column by column, which costs half of what looking at each event does."""
    charges, kinds, accounts, starts, ends, features, tokens, at, sources, key_prefixes, metadata, *receipts = zip(
        *events, strict=True
    )
    if not all(map(_is_id, charges)):
        raise MalformedEvent("a charge is no UUID as PostgreSQL reads it")
    charged_at = minted_all_at_ms(charges)
    naturals = (accounts, starts, ends, at, charged_at)
    # A bool is an int to everybody but JSON.
    if any({*map(type, column)} != {int} for column in (*naturals, tokens)):
        raise MalformedEvent("what should be a number is none")
    if min(map(min, naturals)) < 0 or max(*map(max, (*naturals, tokens)), -min(tokens)) > LARGEST_NUMBER:
        raise MalformedEvent("a number is out of bounds")
    for texts in set(zip(kinds, features, sources, key_prefixes, strict=True)):
        _check_texts(*texts)
    for receipt, fingerprint in {*zip(*receipts, strict=True)} - {("", "")}:
        _check_lengths(receipt=receipt, fingerprint=fingerprint)
    if not all(map(lt, starts, ends)):
        raise MalformedEvent("a window ends before it starts")
    if max(*map(max, (charged_at, at)), max(ends) * 1000) > LATEST_MS:
        raise MalformedEvent("an instant lies after the year 9998")
    if not all(each is None or storable(each) for each in metadata):
        raise MalformedEvent("the metadata are no object that PostgreSQL can hold")


@lru_cache(4_096)  # an account's calls have most of them in common
def _check_texts(kind: str, feature: str, source: str, key_prefix: str) -> None:
    if kind not in (CHARGE, VOID):
        raise MalformedEvent(f"{kind} is no kind of event")
    _check_lengths(feature=feature, source=source, key_prefix=key_prefix)


def _check_lengths(**texts: str) -> None:
    for name, text in texts.items():
        if type(text) is not str or len(text) > LONGEST_TEXTS[name] or not text.isprintable():
            raise MalformedEvent(f"{name} is no text of at most {LONGEST_TEXTS[name]} printable characters")


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
