"""What is kept in step between PostgreSQL and Redis: fences, counters, records of keys, and entries of the streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from django.conf import settings

from ratelimit import scripts
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.limiter import Versions
from ratelimit.limits import RedisQuota
from ratelimit.scripts import KEPT_AFTER_WINDOW_MS
from ratelimit.servers.single import Command, Store
from ratelimit.servers.wire import Argument


class Counter(NamedTuple):
    """PostgreSQL's counter of one account and window at one revision. `ends_at_ms` is the window's end."""

    key: bytes
    committed: int
    revision: int
    ends_at_ms: int

    def words(self) -> tuple[int, int, int]:
        return self.committed, self.revision, self.ends_at_ms + KEPT_AFTER_WINDOW_MS


class Pending(NamedTuple):
    """What entries of a stream have moved of one quota; of it, what was taken back: zero or below."""

    tokens: int = 0
    taken_back: int = 0

    def plus(self, tokens: int, times: int = 1) -> Pending:
        return Pending(self.tokens + tokens * times, self.taken_back + min(tokens, 0) * times)


class Entry(NamedTuple):
    """A drained stream entry: `counter` is the position of the counter it moved, None for an entry set aside."""

    stream_id: bytes
    counter: int | None
    tokens: int


class Record(NamedTuple):
    """An Idempotency-Key as PostgreSQL knows it. `key` is its place in Redis, `audit` the text of its charge's event.

    `in_flight_until_ms` is None once a run has ended; `expires_at_ms` is 0 when the key was released.
    """

    key: bytes
    fingerprint: bytes
    event: str
    audit: bytes
    in_flight_until_ms: int | None
    reruns: int
    expires_at_ms: int


def raise_catalogue_fence(store: Store, version: int) -> None:
    """Raise every shard's copy of the catalogue's fence, in one round trip to each server."""
    names = [catalogue_fence(shard).encode() for shard in range(settings.RATELIMIT_SHARDS)]
    store.run_all([Command(scripts.RAISE_FENCES, [name], [version]) for name in names])


def announce_fences(store: Store, fences: Sequence[tuple[AccountKeys, int]]) -> None:
    """Raise accounts' fences, together; where Redis knows none of one, no call is judged before it is published."""
    commands = [Command(scripts.ANNOUNCE_FENCE, [keys.fence], [version]) for keys, version in fences]
    if len(commands) > 1:
        store.run_all(commands)
    else:
        for command in commands:
            store.run(command)


def publish(
    store: Store, keys: AccountKeys, versions: Versions, counters: Sequence[Counter], records: Sequence[Record] = ()
) -> None:
    """Raise the fences to these versions, store counters of a newer revision than Redis knows, and `restore`."""
    names = [keys.fence, keys.catalogue_fence, *(counter.key for counter in counters)]
    arguments: list[Argument] = [*versions, len(counters)]
    for counter in counters:
        arguments += counter.words()
    _add_records(keys, records, names, arguments)
    store.run(Command(scripts.PUBLISH, names, arguments))


def restore(store: Store, keys: AccountKeys, records: Sequence[Record]) -> None:
    """Bring back those records of one account that Redis lacks, but for voided charges; free released keys."""
    names: list[bytes] = []
    arguments: list[Argument] = []
    _add_records(keys, records, names, arguments)
    store.run(Command(scripts.RESTORE, names, arguments))


def _add_records(keys: AccountKeys, records: Sequence[Record], names: list[bytes], arguments: list[Argument]) -> None:
    for record in records:
        names += (record.key, keys.void_marker(record.event))
        until: Argument = "" if record.in_flight_until_ms is None else record.in_flight_until_ms
        arguments += (record.fingerprint, record.event, record.audit, until, record.reruns, record.expires_at_ms)


def release_keys(store: Store, records: Sequence[tuple[bytes, str]]) -> int:
    """Free keys of one shard, each given by its record and the event that it still has; how many were freed."""
    return int(store.run(Command(scripts.RELEASE_KEYS, [key for key, _ in records], [event for _, event in records])))


def acknowledge(store: Store, stream: bytes, counters: Sequence[Counter], entries: Sequence[Entry]) -> int:
    """Remove committed entries from a shard's stream and settle their counters; how many really left."""
    arguments: list[Argument] = [len(counters)]
    for counter in counters:
        arguments += counter.words()
    for entry in entries:
        arguments += (entry.stream_id, 0 if entry.counter is None else entry.counter + 1, entry.tokens)
    names = [stream, *(counter.key for counter in counters)]
    return int(store.run(Command(scripts.ACKNOWLEDGE, names, arguments)))


def acknowledge_head(
    store: Store, stream: bytes, first: bytes, last: bytes, counters: Sequence[tuple[Counter, Pending]]
) -> bool:
    """Acknowledge every entry from `first`, the head of a shard's stream, to `last`; each counter with their tokens.

    False, and nothing has changed, when any of them may have left: then `acknowledge` them one by one.
    """
    arguments: list[Argument] = [first, last]
    for counter, pending in counters:
        arguments += (*counter.words(), *pending)
    names = [stream, *(counter.key for counter, _ in counters)]
    return bool(store.run(Command(scripts.ACKNOWLEDGE_HEAD, names, arguments)))


def read_quotas(store: Store, stream: bytes, quotas: Sequence[bytes]) -> tuple[bytes, list[RedisQuota]]:
    """What Redis holds of one shard's quotas, and the id of the stream's last entry (b"": none) at the same instant."""
    last, *fields = store.run(Command(scripts.READ_QUOTAS, [stream, *quotas]))
    numbers = [None if field is None else int(field) for field in fields]
    return last, [RedisQuota(*numbers[at : at + 3]) for at in range(0, len(numbers), 3)]


def correct_pending(
    store: Store, stream: bytes, counter: Counter, last: bytes, read: RedisQuota, pending: Pending
) -> bool:
    """Make `pending` what Redis calls pending, and publish the counter, in one step.

    False when nothing was done, since the quota is no longer as `read_quotas` has shown it: read it again.
    """
    seen = b"" if read.pending is None else read.pending
    arguments: list[Argument] = [last, seen, pending.tokens, *counter.words(), pending.taken_back]
    return bool(store.run(Command(scripts.CORRECT_PENDING, [stream, counter.key], arguments)))
