"""One batch of the drain: read from the streams of some shards, committed to PostgreSQL in one piece, acknowledged."""

from __future__ import annotations

import collections
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from django.db import transaction
from redis.exceptions import ResponseError

from ratelimit import counters, damage
from ratelimit.counters import Counter, Entry, Pending
from ratelimit.keys import AccountKeys, shard_of, stream
from ratelimit.store import store
from usage.log import store as log_store
from usage.log.batch import EventBatch, decode, decode_all
from usage.log.events import Event, MalformedEvent
from usage.log.idempotency import keyed_charges
from usage.log.months import partitions
from usage.log.sums import WindowCounter
from usage.models import SetAsideEntry

logger = logging.getLogger(__name__)
StreamEntry = tuple[bytes, bytes]
"""Its id and its payload."""
Window = tuple[int, int]
"""Of an account: its number, and when the window starts, in Unix seconds."""
BATCH = 10_000
"""Entries a transaction: some 80 ms, for which who publishes one of the shards' accounts may wait."""
READ_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Drained:
    """Entries that left the streams, and how many of them were set aside as unreadable."""

    entries: int = 0
    set_aside: int = 0

    def __add__(self, other: Drained) -> Drained:
        return Drained(self.entries + other.entries, self.set_aside + other.set_aside)


def drain_oldest(shards: Sequence[int]) -> Drained:
    """At most BATCH of the shards' oldest entries. The caller holds the shards, by `shard_locks.draining`.

    Fewer than BATCH means that every shard was read to its end.
    """
    entries = _read_all(shards)
    if not entries:
        return Drained()
    try:
        parts, stored = _commit(entries)
    except partitions.MonthLeft:
        # Between the look and the insert. Now it is seen to have left, and its events are set aside.
        parts, stored = _commit(entries)
    for part in parts:
        if part.unreadable:
            first = part.unreadable[0].error
            logger.error("%d entries of shard %d were set aside: %s", len(part.unreadable), part.shard, first)
    _release_orphans(stored.known)
    counters_of = {(counter.account, counter.starts_at): _counter(counter) for counter in stored.counters}
    for part in parts:
        _acknowledge(part, counters_of)
    return Drained(sum(len(part.entries) for part in parts), sum(len(part.unreadable) for part in parts))


@dataclass(slots=True)
class _Part:
    """A shard's oldest entries: those read so far are `events`, in their order, but for those that are set aside."""

    shard: int
    entries: Sequence[StreamEntry]
    events: list[EventBatch] = field(default_factory=list)
    unreadable: list[SetAsideEntry] = field(default_factory=list)

    def read(self, taken: partitions.AcceptedRange) -> Iterator[EventBatch]:
        """The events that the log takes, some at a time: those are read while PostgreSQL is at work on those before."""
        for at in range(0, len(self.entries), READ_AT_ONCE):
            some = self.entries[at : at + READ_AT_ONCE]
            events = _all_taken([payload for _, payload in some], taken)
            if events is None:
                events = EventBatch.of([*self._one_by_one(some, taken)])
            self.events.append(events)
            yield events

    def _one_by_one(self, entries: Sequence[StreamEntry], taken: partitions.AcceptedRange) -> Iterator[Event]:
        for stream_id, payload in entries:
            try:
                event = decode(payload)
                if refusal := taken.refusal(event.charged_at_ms):
                    raise MalformedEvent(refusal)
                yield event
            except MalformedEvent as error:
                name, why = stream_id.decode(), str(error)[:500]
                self.unreadable.append(SetAsideEntry(shard=self.shard, stream_id=name, payload=payload, error=why))

    def moved(self) -> dict[Window, Pending]:
        """What is pending until the entries are acknowledged."""
        alike = collections.Counter(chain.from_iterable(events.tokens_moved() for events in self.events))
        moved: dict[Window, Pending] = {}
        for (account, window_start, tokens), times in alike.items():
            window = account, window_start
            moved[window] = moved.get(window, Pending()).plus(tokens, times)
        # What was charged in another shard, before their number was changed, is pending there if anywhere.
        return {window: pending for window, pending in moved.items() if shard_of(window[0]) == self.shard}

    def single(self, position: Mapping[Window, int]) -> Iterator[Entry]:
        """Each entry, with its counter's position."""
        set_aside, events = {entry.stream_id for entry in self.unreadable}, chain.from_iterable(self.events)
        for stream_id, _ in self.entries:
            if stream_id.decode() in set_aside:
                yield Entry(stream_id, None, 0)
            else:
                event = next(events)
                yield Entry(stream_id, position.get((event.account, event.window_start)), event.tokens)


def _all_taken(payloads: Sequence[bytes], taken: partitions.AcceptedRange) -> EventBatch | None:
    """Their events; None when any cannot be read or the log does not take it."""
    try:
        events = decode_all(payloads)
    except MalformedEvent:
        return None
    return None if any(taken.refusal(edge(events.charged_at_ms)) for edge in (min, max)) else events


def _read_all(shards: Sequence[int]) -> dict[int, list[StreamEntry]]:
    found, left = {}, BATCH
    for shard in shards:
        if left and (entries := read(shard, left)):
            found[shard] = entries
            left -= len(entries)
    return found


def read(shard: int, count: int) -> list[StreamEntry]:
    """From the head of the stream, the bare reply: redis-py would take as long to make it its own as to fetch it."""
    return _entries(shard, b"XRANGE", b"-", b"+", count)


def last_entry(shard: int) -> StreamEntry | None:
    return next(iter(_entries(shard, b"XREVRANGE", b"+", b"-", 1)), None)


def _entries(shard: int, command: bytes, first: bytes, last: bytes, count: int) -> list[StreamEntry]:
    """None where something else stands in the stream's place."""
    name = stream(shard).encode()
    try:
        found = store().ask(name, command, name, first, last, b"COUNT", count)
    except ResponseError as error:
        damage.tell(f"the stream of shard {shard}", "nothing of that shard is drained", error)
        return []
    return [(stream_id, fields[1] if fields[0] == b"e" else b"") for stream_id, fields in found]


def entry_id(stream_id: bytes) -> tuple[int, int]:
    """Unix milliseconds, and the place among the entries of one."""
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds), int(sequence)


def _commit(entries: Mapping[int, Sequence[StreamEntry]]) -> tuple[list[_Part], log_store.Stored]:
    """What was read and what was set aside, and what came of it, once PostgreSQL has all of it."""
    parts = [_Part(shard, of_shard) for shard, of_shard in entries.items()]
    written = [entry_id(part.entries[at][0])[0] for part in parts for at in (0, -1)]
    taken = partitions.accepted_range([time.time_ns() // 1_000_000, min(written), max(written)])
    # Durable: what is acknowledged later is gone from Redis, so it must not hang on a transaction around this one.
    with transaction.atomic(durable=True):
        stored = log_store.store_parts(events for part in parts for events in part.read(taken))
        SetAsideEntry.objects.bulk_create(chain.from_iterable(part.unreadable for part in parts), ignore_conflicts=True)
    return parts, stored


def _release_orphans(known: Iterable[Event]) -> None:
    shards: dict[int, list[tuple[bytes, str]]] = {}
    for event in keyed_charges.orphans(known):
        record = AccountKeys(event.account).record(event.key)
        shards.setdefault(shard_of(event.account), []).append((record, event.charge))
    for orphans in shards.values():
        counters.release_keys(store(), orphans)


def _acknowledge(part: _Part, kept: Mapping[Window, Counter]) -> None:
    """Remove what was read from the head of the stream, and store its counters in Redis."""
    moved = part.moved()
    try:
        _settle(part, kept, moved)
    except ResponseError as error:
        damaged = damage.find(store(), [kept[window].key for window in moved])
        if not damaged:
            raise
        for key in damaged:
            damage.tell(f"the quota {key.decode()}", "its events are drained, and it is left as it is", error)
        _settle(part, kept, {window: pending for window, pending in moved.items() if kept[window].key not in damaged})


def _settle(part: _Part, kept: Mapping[Window, Counter], moved: Mapping[Window, Pending]) -> None:
    name = stream(part.shard).encode()
    settled = [(kept[window], pending) for window, pending in moved.items()]
    if counters.acknowledge_head(store(), name, part.entries[0][0], part.entries[-1][0], settled):
        return
    position = {window: at for at, window in enumerate(moved)}
    counters.acknowledge(store(), name, [counter for counter, _ in settled], [*part.single(position)])


def _counter(counter: WindowCounter) -> Counter:
    key = AccountKeys(counter.account).quota(counter.starts_at * 1000)
    return Counter(key, counter.tokens, counter.revision, counter.ends_at * 1000)
