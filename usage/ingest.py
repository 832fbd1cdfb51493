"""The drain: audit events from Redis' streams into PostgreSQL, each exactly once, with the sums that follow from them.

A stream entry stays until PostgreSQL has committed it, so there is nothing to reclaim from a drain that died: the next
one reads the same entries again, the log's key keeps each event single, and only rows really inserted move a counter.
One drain a shard, by an advisory lock that is held until the entries are acknowledged.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.db import transaction

from billing import fencing
from ratelimit import limiter
from ratelimit.keys import AccountKeys, shard_of, stream
from ratelimit.store import RedisUnreachable, client, reaching_redis, store
from usage import ledger, partitions
from usage.events import Event, MalformedEvent, decode, decode_all, minted_at_ms
from usage.models import SetAsideEntry, UsageLog, WindowUsage
from usage.outage import asking_redis
from usage.shard_locks import draining

logger = logging.getLogger(__name__)
StreamEntry = tuple[bytes, bytes]
"""Its id and its payload."""
BATCH = 5_000
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


def _drain_batch(shard: int) -> Drained:
    entries = _read(shard, BATCH)
    if not entries:
        return Drained()
    try:
        readable, unreadable, rows = _commit(shard, entries)
    except partitions.MonthLeft:
        # Between the look and the insert. Now it is seen to have left, and its events are set aside.
        readable, unreadable, rows = _commit(shard, entries)
    if unreadable:
        logger.error("%d entries of shard %d were set aside: %s", len(unreadable), shard, unreadable[0].error)
    _acknowledge(shard, entries, readable, rows)
    return Drained(len(entries), len(unreadable))


def _commit(
    shard: int, entries: Sequence[StreamEntry]
) -> tuple[list[tuple[bytes, Event]], list[SetAsideEntry], list[WindowUsage]]:
    """What could be read, what was set aside, and the counters, once PostgreSQL has all of it."""
    readable, unreadable = _decoded(shard, entries)
    # Durable: what is acknowledged later is gone from Redis, so it must not hang on a transaction around this one.
    with transaction.atomic(durable=True):
        rows = ledger.store([event for _, event in readable])
        SetAsideEntry.objects.bulk_create(unreadable, ignore_conflicts=True)
    return readable, unreadable, rows


def _decoded(shard: int, entries: Sequence[StreamEntry]) -> tuple[list[tuple[bytes, Event]], list[SetAsideEntry]]:
    written = [_entry_id(stream_id)[0] for stream_id, _ in (entries[0], entries[-1])]
    taken = partitions.taken([time.time_ns() // 1_000_000, *written])
    try:
        events = decode_all([payload for _, payload in entries])
        charged_at = [minted_at_ms(event.charge) for event in events]
        if not (taken.refusal(min(charged_at)) or taken.refusal(max(charged_at))):
            return [(stream_id, event) for (stream_id, _), event in zip(entries, events, strict=True)], []
    except MalformedEvent:
        pass  # at least one is, and is found below
    readable: list[tuple[bytes, Event]] = []
    unreadable: list[SetAsideEntry] = []
    for stream_id, payload in entries:
        try:
            event = decode(payload)
            if refusal := taken.refusal(event.charged_at_ms):
                raise MalformedEvent(refusal)
            readable.append((stream_id, event))
        except MalformedEvent as error:
            entry = SetAsideEntry(shard=shard, stream_id=stream_id.decode(), payload=payload, error=str(error)[:500])
            unreadable.append(entry)
    return readable, unreadable


def _acknowledge(
    shard: int,
    entries: Sequence[StreamEntry],
    readable: Collection[tuple[bytes, Event]],
    rows: Iterable[WindowUsage],
) -> None:
    """Remove what was read from the head of the stream, and tell its counters."""
    name, tokens = stream(shard).encode(), Counter[tuple[int, int]]()
    alike = Counter((event.account, event.window_start, event.tokens) for _, event in readable)
    for (account, window_start, moved_by), times in alike.items():
        tokens[account, window_start] += moved_by * times
    counters = {(row.account_id, _ms(row.starts_at) // 1000): _counter(row) for row in rows}
    moved = [(counter, tokens[window]) for window, counter in counters.items()]
    if limiter.trim(store(), name, entries[0][0], entries[-1][0], moved):
        return
    position = {window: at for at, window in enumerate(counters)}
    event_of = dict(readable)
    single = [
        limiter.Entry(stream_id, position[found.account, found.window_start], found.tokens)
        if (found := event_of.get(stream_id))
        else limiter.Entry(stream_id, None, 0)
        for stream_id, _ in entries
    ]
    limiter.acknowledge(store(), name, list(counters.values()), single)


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
