"""The drain: audit events from Redis' streams into PostgreSQL, each exactly once, with the sums that follow from them.

A stream entry stays until PostgreSQL has committed it, so there is nothing to reclaim from a drain that died: the next
one reads the same entries again, the log's key keeps each event single, and only rows really inserted move a counter.
One drain a shard, by an advisory lock that is held until the entries are acknowledged.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast

from django.conf import settings
from django.db import connection

from ratelimit.keys import shard_of, stream
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client, is_about_a_key, reaching_redis
from usage.drain import batch
from usage.drain.batch import Drained, drain_oldest, entry_id, last_entry, read
from usage.sync.outage import asking_redis
from usage.sync.shard_locks import draining

CATCH_UP_SECONDS = 5.0


class Behind(Exception):
    """The log could not be brought up to now in time."""


def drain(shards: Iterable[int] | None = None) -> Drained:
    """One pass over the shards, all of them by default; a shard that another drain holds is left to it."""
    waiting = backlog()
    mine = waiting if shards is None else {shard: waiting[shard] for shard in shards if shard in waiting}
    batches = [*_filling_a_batch(mine)]
    left = iter(batches)
    if len(batches) < 2:
        return _drain_each(left)
    # The next is read while PostgreSQL and Redis take in the one before.
    with ThreadPoolExecutor(1) as thread:
        beside = thread.submit(_drain_beside, left)
        try:
            return _drain_each(left) + beside.result()
        finally:
            deque(left, maxlen=0)  # whoever stops this pass waits for what the thread has begun, and no longer


def _drain_each(left: Iterator[Sequence[int]]) -> Drained:
    return sum(map(drain_shards, left), Drained())


def _drain_beside(left: Iterator[Sequence[int]]) -> Drained:
    """In a thread, which has a connection of its own."""
    try:
        return _drain_each(left)
    finally:
        connection.close()


def _filling_a_batch(waiting: Mapping[int, int]) -> Iterator[list[int]]:
    """Shards, given their entries, that fill a batch together: of a transaction the batch's size matters least."""
    together, entries = list[int](), 0
    for shard, length in waiting.items():
        if together and entries + length > batch.BATCH:
            yield together
            together, entries = [], 0
        together.append(shard)
        entries += length
    if together:
        yield together


def drain_shards(shards: Sequence[int]) -> Drained:
    """Empty the shards' streams, but for shards that another drain holds."""
    drained = Drained()
    while True:
        with draining(shards) as mine:
            done = drain_oldest(mine)
        drained += done
        if done.entries < batch.BATCH:
            return drained


def backlog() -> dict[int, int]:
    """Entries that wait in each shard's stream; shards with none are left out."""
    shards = range(settings.RATELIMIT_SHARDS)
    with reaching_redis(), client().pipeline(transaction=False) as pipeline:
        for shard in shards:
            pipeline.xlen(stream(shard))
        lengths = cast(list[int | Exception], pipeline.execute(raise_on_error=False))
        for length in lengths:
            if isinstance(length, Exception) and not is_about_a_key(length):
                raise length
    # What is no stream counts as an entry: whoever reads it says so.
    entries = [length if isinstance(length, int) else 1 for length in lengths]
    return {shard: length for shard, length in zip(shards, entries, strict=True) if length}


def lag_seconds(now_ms: int) -> float:
    """Age of the oldest entry that waits, in seconds; 0 when none does."""
    oldest = now_ms
    for shard in backlog():
        for stream_id, _ in read(shard, 1):
            oldest = min(oldest, entry_id(stream_id)[0])
    return max(now_ms - oldest, 0) / 1000


def catch_up(account: int, seconds: float | None = None) -> bool:
    """Bring the log and its sums up to every call of the account that was answered before.

    Raises Behind after so many seconds, CATCH_UP_SECONDS by default. False while Redis is out of reach; then they stay
    as they are: what it holds cannot be had, and new calls are in the log.
    """
    try:
        catch_up_by_redis(account, seconds)
    except RedisUnreachable:
        return False
    return True


def catch_up_by_redis(account: int, seconds: float | None = None) -> None:
    """The same for who needs all of it. Raises Behind; RedisUnreachable."""
    asking_redis(lambda: _catch_up(shard_of(account), seconds))


def catch_up_everywhere() -> None:
    """Bring the log up to every call that was answered before. Raises Behind; RedisUnreachable."""
    for shard in backlog():
        _catch_up(shard)


def _catch_up(shard: int, seconds: float | None = None) -> None:
    last = _last_entry(shard)
    give_up_at = time.monotonic() + (CATCH_UP_SECONDS if seconds is None else seconds)
    while (first := _first_entry(shard)) is not None and last is not None and first <= last:
        if time.monotonic() > give_up_at:
            raise Behind(f"shard {shard} is not drained; is `manage.py drain_usage --follow` running?")
        if not drain_shards([shard]).entries:
            time.sleep(0.005)


def _first_entry(shard: int) -> tuple[int, int] | None:
    return next((entry_id(stream_id) for stream_id, _ in read(shard, 1)), None)


def _last_entry(shard: int) -> tuple[int, int] | None:
    last = last_entry(shard)
    return None if last is None else entry_id(last[0])
