"""The drain: audit events from Redis' streams into PostgreSQL, each exactly once, with the sums that follow from them.

A stream entry stays until PostgreSQL has committed it, so there is nothing to reclaim from a drain that died: the next
one reads the same entries again, the log's key keeps each event single, and only rows really inserted move a counter.
One drain a shard, by an advisory lock that is held until the entries are acknowledged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, cast

from django.conf import settings
from django.db import transaction

from billing import fencing
from ratelimit import limiter
from ratelimit.keys import AccountKeys, shard_of, stream
from ratelimit.store import RedisUnreachable, client, reaching_redis, store
from usage import ledger, partitions, receipts
from usage.event_batch import EventBatch, decode, decode_all
from usage.events import Event, MalformedEvent
from usage.models import SetAsideEntry, UsageLog, WindowUsage
from usage.outage import asking_redis
from usage.shard_locks import draining

logger = logging.getLogger(__name__)
StreamEntry = tuple[bytes, bytes]
"""Its id and its payload."""
BATCH = 5_000
READ_AT_ONCE = 500
CATCH_UP_SECONDS = 5.0


class Behind(Exception):
    """The log could not be brought up to now in time."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What one pass has done: entries that left the stream, and how many of them were set aside as unreadable."""

    entries: int = 0
    set_aside: int = 0


def drain(shards: Iterable[int] | None = None) -> Drained:
    """One pass over the shards, all of them by default; a shard that another drain holds is left to it."""
    entries = set_aside = 0
    for shard in _with_backlog(range(settings.RATELIMIT_SHARDS) if shards is None else shards):
        done = drain_shard(shard)
        entries, set_aside = entries + done.entries, set_aside + done.set_aside
    return Drained(entries, set_aside)


def drain_shard(shard: int) -> Drained:
    """Empty one shard's stream; nothing when another drain holds it."""
    entries = set_aside = 0
    while True:
        with draining(shard) as mine:
            done = _drain_batch(shard) if mine else Drained()
        entries, set_aside = entries + done.entries, set_aside + done.set_aside
        if done.entries < BATCH:
            return Drained(entries, set_aside)


def backlog() -> dict[int, int]:
    """Entries that wait in each shard's stream; shards with none are left out."""
    shards = range(settings.RATELIMIT_SHARDS)
    with reaching_redis(), client().pipeline(transaction=False) as pipeline:
        for shard in shards:
            pipeline.xlen(stream(shard))
        lengths = cast(list[int], pipeline.execute())
    return {shard: length for shard, length in zip(shards, lengths, strict=True) if length}


def lag_seconds(now_ms: int) -> float:
    """Age of the oldest entry that waits, in seconds; 0 when none does."""
    oldest = now_ms
    for shard in backlog():
        for stream_id, _ in _read(shard, 1):
            oldest = min(oldest, int(stream_id.split(b"-")[0]))
    return max(now_ms - oldest, 0) / 1000


def catch_up(account: int) -> None:
    """Bring the log and its sums up to every call of the account that was answered before. Raises Behind.

    While Redis is out of reach they stay as they are: what it holds cannot be had, and new calls are in the log.
    """
    with suppress(RedisUnreachable):
        asking_redis(lambda: _catch_up(shard_of(account)))


def _catch_up(shard: int) -> None:
    last = _last_entry(shard)
    give_up_at = time.monotonic() + CATCH_UP_SECONDS
    while (first := _first_entry(shard)) is not None and last is not None and first <= last:
        if time.monotonic() > give_up_at:
            raise Behind(f"shard {shard} is not drained; is `manage.py drain_usage --follow` running?")
        if not drain_shard(shard).entries:
            time.sleep(0.005)


def record(events: Sequence[Event]) -> None:
    """Store events without Redis, which learns the new counters by the accounts' fences when it is back."""
    with transaction.atomic():
        ledger.store(events)
        fencing.counters_changed({event.account for event in events})


def event_of(row: UsageLog) -> Event:
    """The event a charge's row was made from."""
    window = ledger.window_of(row)
    return Event(
        charge=str(row.event_id),
        kind=row.kind,
        account=row.account_id,
        window_start=int(window.starts_at.timestamp()),
        window_end=int(window.ends_at.timestamp()),
        feature=row.feature,
        tokens=row.tokens,
        at_ms=round(row.created_at.timestamp() * 1000),
        source=row.source,
        key_prefix=row.key_prefix,
        metadata=row.metadata,
    )


@dataclass(slots=True)
class _Batch:
    """A shard's oldest entries: those read so far are `events`, in their order, but for those that are set aside."""

    shard: int
    entries: Sequence[StreamEntry]
    events: list[EventBatch] = field(default_factory=list)
    unreadable: list[SetAsideEntry] = field(default_factory=list)

    def read(self, taken: partitions.Taken) -> Iterator[EventBatch]:
        """The events that the log takes, in parts: the next one is read while PostgreSQL is at work on those before."""
        for at in range(0, len(self.entries), READ_AT_ONCE):
            part = self.entries[at : at + READ_AT_ONCE]
            events = _all_taken([payload for _, payload in part], taken)
            if events is None:
                events = EventBatch.of([*self._one_by_one(part, taken)])
            self.events.append(events)
            yield events

    def _one_by_one(self, part: Sequence[StreamEntry], taken: partitions.Taken) -> Iterator[Event]:
        for stream_id, payload in part:
            try:
                event = decode(payload)
                if refusal := taken.refusal(event.charged_at_ms):
                    raise MalformedEvent(refusal)
                yield event
            except MalformedEvent as error:
                name, why = stream_id.decode(), str(error)[:500]
                self.unreadable.append(SetAsideEntry(shard=self.shard, stream_id=name, payload=payload, error=why))

    def single(self, position: dict[tuple[int, int], int]) -> Iterator[limiter.Entry]:
        """Each entry, with its counter's position."""
        set_aside, events = {entry.stream_id for entry in self.unreadable}, chain.from_iterable(self.events)
        for stream_id, _ in self.entries:
            if stream_id.decode() in set_aside:
                yield limiter.Entry(stream_id, None, 0)
            else:
                event = next(events)
                yield limiter.Entry(stream_id, position[event.account, event.window_start], event.tokens)


def _all_taken(payloads: Sequence[bytes], taken: partitions.Taken) -> EventBatch | None:
    """Their events; None when any cannot be read or the log does not take it."""
    try:
        events = decode_all(payloads)
    except MalformedEvent:
        return None
    return None if any(taken.refusal(edge(events.charged_at_ms)) for edge in (min, max)) else events


def _drain_batch(shard: int) -> Drained:
    entries = _read(shard, BATCH)
    if not entries:
        return Drained()
    try:
        batch, stored = _commit(shard, entries)
    except partitions.MonthLeft:
        # Between the look and the insert. Now it is seen to have left, and its events are set aside.
        batch, stored = _commit(shard, entries)
    if batch.unreadable:
        first = batch.unreadable[0].error
        logger.error("%d entries of shard %d were set aside: %s", len(batch.unreadable), shard, first)
    if orphans := receipts.orphans(stored.known):
        limiter.forget(store(), [(AccountKeys(it.account).receipt_of(it.receipt), it.charge) for it in orphans])
    _acknowledge(batch, stored.counted)
    return Drained(len(entries), len(batch.unreadable))


def _commit(shard: int, entries: Sequence[StreamEntry]) -> tuple[_Batch, ledger.Stored]:
    """What was read and what was set aside, and what came of it, once PostgreSQL has all of it."""
    batch = _Batch(shard, entries)
    written = [_entry_id(stream_id)[0] for stream_id, _ in (entries[0], entries[-1])]
    taken = partitions.taken([time.time_ns() // 1_000_000, *written])
    # Durable: what is acknowledged later is gone from Redis, so it must not hang on a transaction around this one.
    with transaction.atomic(durable=True):
        stored = ledger.store_parts(batch.read(taken))
        SetAsideEntry.objects.bulk_create(batch.unreadable, ignore_conflicts=True)
    return batch, stored


def _acknowledge(batch: _Batch, counted: Iterable[ledger.Counted]) -> None:
    """Remove what was read from the head of the stream, and tell its counters."""
    name = stream(batch.shard).encode()
    counters = {(row.account_id, _ms(row.starts_at) // 1000): (_counter(row), arrived) for row, arrived in counted}
    if limiter.trim(store(), name, batch.entries[0][0], batch.entries[-1][0], [*counters.values()]):
        return
    position = {window: at for at, window in enumerate(counters)}
    limiter.acknowledge(store(), name, [counter for counter, _ in counters.values()], [*batch.single(position)])


def _counter(row: WindowUsage) -> limiter.Counter:
    key = AccountKeys(row.account_id).quota(_ms(row.starts_at))
    return limiter.Counter(key, row.tokens, row.revision, _ms(row.ends_at))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _with_backlog(shards: Iterable[int]) -> Iterator[int]:
    waiting = backlog()
    return (shard for shard in shards if shard in waiting)


def _read(shard: int, count: int) -> list[StreamEntry]:
    """From the head of the stream, the bare reply: redis-py would take as long to make it its own as to fetch it."""
    name = stream(shard).encode()
    found = store().ask(name, b"XRANGE", name, b"-", b"+", b"COUNT", count)
    return [(stream_id, fields[1] if fields[0] == b"e" else b"") for stream_id, fields in found]


def _entry_id(stream_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = stream_id.partition(b"-")
    return int(milliseconds), int(sequence)


def _first_entry(shard: int) -> tuple[int, int] | None:
    return next((_entry_id(stream_id) for stream_id, _ in _read(shard, 1)), None)


def _last_entry(shard: int) -> tuple[int, int] | None:
    with reaching_redis():
        found = cast(list[Any], client().xrevrange(stream(shard), count=1))
    return _entry_id(found[0][0]) if found else None
