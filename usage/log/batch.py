"""Many events at once, column by column: how the drain reads, checks and counts them. Pure values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.scanner import make_scanner
from operator import lt
from struct import Struct
from typing import Any

from ratelimit.limits import LARGEST_NUMBER
from usage.log import reservation_facts
from usage.log.events import ADJUSTMENTS, FORMAT, LATEST_MS, RESERVE, STREAMED, Event, MalformedEvent, storable

DAY_MS = 86_400_000
WIDTHS = {12, 14, 15}
"""Of an event's text, in fields: with an Idempotency-Key two more, with an adjustment's bound one more still."""
MISSING = ("", "", None)
"""The last three of them, where a text has fewer."""
LONGEST_TEXTS = {"feature": 50, "source": 10, "key_prefix": 8, "key": 32, "fingerprint": 32}
"""What the columns of PostgreSQL hold."""
ID_LENGTH, HYPHENS = 36, (8, 13, 18, 23)
_scan_json = make_scanner(json.JSONDecoder())  # type: ignore[arg-type] # as json.decoder calls it
_first_halves = Struct(">Q8x").iter_unpack
"""Of many UUIDs' bytes."""

Move = tuple[int, int, int, str, int, str, int]
"""What an event moves: account, window's start and end, feature, day since 1970, kind and tokens."""


@dataclass(frozen=True, slots=True)
class EventBatch:
    """A list of events that is made, looked at and counted in C: an `Event` for each costs more than all the rest.

    Two columns follow from `charges`: `ids` are their UUIDs, 16 bytes each, and `charged_at_ms` when they were minted.
    """

    ids: bytes
    charged_at_ms: Sequence[int]
    charges: Sequence[str]
    kinds: Sequence[str]
    accounts: Sequence[int]
    window_starts: Sequence[int]
    window_ends: Sequence[int]
    features: Sequence[str]
    tokens: Sequence[int]
    at_ms: Sequence[int]
    sources: Sequence[str]
    key_prefixes: Sequence[str]
    metadata: Sequence[dict[str, Any] | None]
    keys: Sequence[str]
    fingerprints: Sequence[str]
    bounds: Sequence[int | None]

    @classmethod
    def of(cls, events: Sequence[Event]) -> EventBatch:
        return cls._from(zip(*events, strict=True)) if events else NONE

    @classmethod
    def _from(cls, columns: Iterator[Sequence[Any]]) -> EventBatch:
        """Raises ValueError or TypeError when a charge is no UUID."""
        charges, *others = columns
        ids = _uuids(charges)
        return cls(ids, [half >> 16 for (half,) in _first_halves(ids)], charges, *others)

    def __len__(self) -> int:
        return len(self.charges)

    def __iter__(self) -> Iterator[Event]:
        return map(
            Event,
            self.charges,
            self.kinds,
            self.accounts,
            self.window_starts,
            self.window_ends,
            self.features,
            self.tokens,
            self.at_ms,
            self.sources,
            self.key_prefixes,
            self.metadata,
            self.keys,
            self.fingerprints,
            self.bounds,
        )

    def adjustments(self) -> list[Event]:
        return [] if ADJUSTMENTS.isdisjoint(self.kinds) else [event for event in self if event.kind in ADJUSTMENTS]

    def charges_only(self) -> EventBatch:
        if ADJUSTMENTS.isdisjoint(self.kinds):
            return self
        return EventBatch.of([event for event in self if event.kind not in ADJUSTMENTS])

    def keyed(self) -> list[Event]:
        """Those that were made under an Idempotency-Key."""
        return [event for event in self if event.key] if any(self.keys) else []

    def moves(self) -> Iterator[Move]:
        days = [charged_at_ms // DAY_MS for charged_at_ms in self.charged_at_ms]
        return zip(
            self.accounts,
            self.window_starts,
            self.window_ends,
            self.features,
            days,
            self.kinds,
            self.tokens,
            strict=True,
        )

    def tokens_moved(self) -> Iterator[tuple[int, int, int]]:
        """Of each: its account, its window's start and its tokens."""
        return zip(self.accounts, self.window_starts, self.tokens, strict=True)


NONE = EventBatch(b"", (), (), (), (), (), (), (), (), (), (), (), (), (), (), ())


def decode(text: bytes) -> Event:
    """Raises MalformedEvent, which says what is wrong, for anything `Event.encode` has not written."""
    return next(iter(decode_all([text])))


def decode_all(texts: Sequence[bytes]) -> EventBatch:
    """All of them. Raises MalformedEvent when any is not what `Event.encode` has written; `decode` tells which."""
    if not texts:
        return NONE
    try:
        written = [*map(bytes.decode, texts)]
        found = [_scan_json(text, 0) for text in written]
        if [end for _, end in found] != [*map(len, written)]:
            raise MalformedEvent("something follows the event")
        if (formats := {fields[0] for fields, _ in found}) != {FORMAT}:
            raise MalformedEvent(f"format {', '.join(map(str, formats))} is not {FORMAT}")
        _, *columns = _columns([fields for fields, _ in found])
        batch = EventBatch._from(iter(columns))
        _check(batch)
    except StopIteration as error:
        raise MalformedEvent("no JSON") from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise MalformedEvent(str(error)) from error
    return batch


def _columns(rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    widths = {*map(len, rows)}
    if not widths <= WIDTHS:
        raise MalformedEvent(f"a text has no {' or '.join(map(str, sorted(WIDTHS)))} fields")
    if widths == {min(WIDTHS)}:
        return [*zip(*rows, strict=True), *((missing,) * len(rows) for missing in MISSING)]
    return [*zip(*([*row, *MISSING[len(row) - min(WIDTHS) :]] for row in rows), strict=True)]


def _uuids(texts: Sequence[str]) -> bytes:
    """Their bytes in a row. Raises ValueError or TypeError for a text that is no UUID as PostgreSQL writes it."""
    joined = "".join(texts)
    digits = joined.replace("-", "")
    uuids, hyphens = bytes.fromhex(digits), "-" * len(texts)
    # The way back shows capitals and what `fromhex` passes over.
    if (
        {*map(len, texts)} != {ID_LENGTH}
        or len(uuids) != 16 * len(texts)
        or uuids.hex() != digits
        or any(joined[at::ID_LENGTH] != hyphens for at in HYPHENS)
    ):
        raise MalformedEvent("a charge is no UUID as PostgreSQL reads it")
    return uuids


def _check(batch: EventBatch) -> None:
    naturals = (batch.accounts, batch.window_starts, batch.window_ends, batch.at_ms)
    # A bool is an int to everybody but JSON.
    if any({*map(type, column)} != {int} for column in (*naturals, batch.tokens)):
        raise MalformedEvent("what should be a number is none")
    largest = max(*map(max, (*naturals, batch.tokens)), -min(batch.tokens))
    if min(map(min, naturals)) < 0 or largest > LARGEST_NUMBER:
        raise MalformedEvent("a number is out of bounds")
    if unknown := {*batch.kinds} - STREAMED:
        raise MalformedEvent(f"{', '.join(map(str, unknown))} is no kind of event")
    _check_texts("feature", batch.features)
    _check_texts("source", batch.sources)
    _check_texts("key_prefix", batch.key_prefixes)
    _check_texts("key", batch.keys)
    _check_texts("fingerprint", batch.fingerprints)
    for bound in {*map(repr, batch.bounds)} - {"None"}:
        if not (bound.isdecimal() and int(bound) <= LARGEST_NUMBER):
            raise MalformedEvent("the bound of an adjustment is out of bounds")
    if not all(map(lt, batch.window_starts, batch.window_ends)):
        raise MalformedEvent("a window ends before it starts")
    if max(*map(max, (batch.charged_at_ms, batch.at_ms)), max(batch.window_ends) * 1000) > LATEST_MS:
        raise MalformedEvent("an instant lies after the year 9998")
    if any(each is not None and not storable(each) for each in batch.metadata):
        raise MalformedEvent("the metadata are no object that PostgreSQL can hold")
    if RESERVE in batch.sources:
        for kind, source, metadata in zip(batch.kinds, batch.sources, batch.metadata, strict=True):
            if source == RESERVE:
                reservation_facts.check(kind, metadata)


def _check_texts(name: str, column: Sequence[str]) -> None:
    """Raises TypeError when any is no text."""
    if not "".join(column).isprintable() or max(map(len, column)) > LONGEST_TEXTS[name]:
        raise MalformedEvent(f"{name} is no text of at most {LONGEST_TEXTS[name]} printable characters")
