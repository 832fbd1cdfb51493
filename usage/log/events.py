"""The audit event: what its id tells, and its text in the stream. Pure values."""

from __future__ import annotations

import json
import uuid
from functools import lru_cache
from typing import Any, NamedTuple

FORMAT = 1
LATEST_MS = 253_370_764_800_000 - 1
"""The end of the year 9998: a year later the month that an instant falls into has no end that Python can name."""
DEEPEST_METADATA = 32
CHARGE = "charge"
"""A kind of event, as all of these; in the log `UsageLog.Kind`."""
VOID = "void"
"""Takes all of a charge back."""
SETTLE = "settle"
"""Takes back the part of a charge that was not needed."""
EXTEND = "extend"
"""Moves the bound of a reservation."""
REFUSED = "refused"
"""Of no tokens: takes the id of a call that was refused when it was not known whether Redis had charged it."""
RESET = "reset"
"""What staff gave back of a window's feature."""
CALLS = {CHARGE: 1, VOID: -1}
"""What an event of a kind adds to the calls that were made; any other adds none. Its tokens it adds as they are."""
ADJUSTMENTS = frozenset({VOID, SETTLE})
"""Kinds that follow a charge, of which it has one at most."""
STREAMED = frozenset({CHARGE, VOID, SETTLE, EXTEND})
"""Kinds that come by Redis' streams."""
GATEWAY, TRACK, AUTHORIZE, RESERVE, EVENTS, STAFF = "gateway", "track", "authorize", "reserve", "events", "staff"
SERVED_ELSEWHERE = frozenset({TRACK, AUTHORIZE})
"""Sources of charges for calls that others serve, who give them back when they fail."""
RUN_NAMED = "usage_run"
"""The member of an event's metadata that names the run of its call."""
# Metadata are looked through before they are written, so circles need no second look.
_write_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_quoted = lru_cache(4_096)(_write_json)
"""Of the texts that many events have in common."""


class MalformedEvent(ValueError):
    """The text is not an event of a known format."""


def minted_at_ms(event: str) -> int:
    """When the call was charged, which is when its id was minted; in Unix milliseconds."""
    return int(event[:8] + event[9:13], 16)


def adjustment_of(charge: uuid.UUID) -> uuid.UUID:
    """The id of a charge's one adjustment: the charge's, with its last bit, which is random, turned over.

    So the log in the order of its ids is in the order of time, with every adjustment beside its charge.
    """
    return uuid.UUID(int=charge.int ^ 1)


class Event(NamedTuple):
    """One change of an account's usage: a charge, or what takes (part of) one back.

    `tokens` is signed, so the sum over the log is the counter; a void is the adjustment that takes all of it back.
    `charge` is the id of the charge, whose instant picks the window and the partition, for whatever happens to it.
    `key` is the digest of the Idempotency-Key it was made under, `fingerprint` that of the request; "" without one.
    `bound` is what the charge had taken, where an adjustment takes only a part of it back.
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
    key: str = ""
    fingerprint: str = ""
    bound: int | None = None

    @property
    def id(self) -> uuid.UUID:
        """Unique in the log and the same on every delivery: the charge's own, or one derived from it."""
        charge = uuid.UUID(self.charge)
        return adjustment_of(charge) if self.kind in ADJUSTMENTS else charge

    @property
    def charged_at_ms(self) -> int:
        return minted_at_ms(self.charge)

    def voided(self, at_ms: int) -> Event:
        """The adjustment of this charge that takes all of it back."""
        return self._replace(kind=VOID, tokens=-self.tokens, at_ms=at_ms)

    def settled(self, tokens: int, at_ms: int) -> Event:
        """The adjustment of this charge that leaves `tokens` of it."""
        return self._replace(kind=SETTLE, tokens=tokens - self.tokens, at_ms=at_ms, bound=self.tokens)

    def charged(self) -> Event:
        """The charge that this event adjusts: it carries all of it, since it may be stored first."""
        tokens = -self.tokens if self.bound is None else self.bound
        return self._replace(kind=CHARGE, tokens=tokens, at_ms=self.charged_at_ms, bound=None)

    def encode(self) -> bytes:
        """Raises MalformedEvent for metadata that `decode` refuses: what the drain sets aside is never billed.

        Those of a reservation are this software's own.
        """
        if self.metadata is not None and self.source != RESERVE and not storable(self.metadata):
            raise MalformedEvent("the metadata are no object that PostgreSQL can hold")
        return framed(self.frame(), self.charge, self.at_ms)

    def frame(self) -> tuple[str, str]:
        """What its text has between its id and its instant, and what behind that."""
        metadata = "null" if self.metadata is None else _write_json(self.metadata)
        more = f",{_quoted(self.key)},{_quoted(self.fingerprint)}" if self.key or self.bound is not None else ""
        more += "" if self.bound is None else f",{self.bound}"
        # A list as JSON, put together here: the encoder takes twice as long for it.
        between = f'","{self.kind}",{self.account},{self.window_start},{self.window_end},{_quoted(self.feature)},'
        return (
            f"{between}{self.tokens},",
            f",{_quoted(self.source)},{_quoted(self.key_prefix)},{metadata}{more}]",
        )

    def around_tokens(self) -> tuple[bytes, bytes]:
        """Its text before and after its tokens, for a script that finds out how many they are.

        Its metadata are not looked at: they are this software's own.
        """
        before, after = self.frame()
        return (
            f'[{FORMAT},"{self.charge}{before.removesuffix(f"{self.tokens},")}'.encode(),
            f",{self.at_ms}{after}".encode(),
        )


def framed(frame: tuple[str, str], event_id: str, at_ms: int) -> bytes:
    """The text of an event of which only id and instant are its own."""
    return f'[{FORMAT},"{event_id}{frame[0]}{at_ms}{frame[1]}'.encode()


def storable(metadata: object) -> bool:
    """Whether PostgreSQL's jsonb holds it: an object, not too deep, without NUL, lone surrogates, NaN or infinity."""
    return storable_size(metadata) is not None


def storable_size(metadata: object) -> int | None:
    """Bytes of the object as compact JSON; None where it is not `storable`."""
    if not isinstance(metadata, dict) or _deeper_than(DEEPEST_METADATA, metadata):
        return None
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError):
        return None
    # An escaped backslash before "u0000" is six harmless characters, not a NUL.
    return None if "\\u0000" in text.replace("\\\\", "") else size


def _deeper_than(levels: int, value: object) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_deeper_than(levels - 1, part) for part in value)
