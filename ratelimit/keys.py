"""Names of the Redis keys. All that one call touches carries one shard tag, so it lies in one slot of a cluster."""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache

from django.conf import settings


class AccountKeys:
    """The keys of one account, made once and kept with its snapshot."""

    __slots__ = ("_prefix", "account", "catalogue_fence", "fence", "stream")

    def __init__(self, account: int) -> None:
        tag = shard_tag(shard_of(account))
        self.account = account
        self._prefix = f"{tag}:%s:{account}"
        self.fence = (self._prefix % "v").encode()
        self.stream, self.catalogue_fence = _keys_of_shard(tag)

    @property
    def ring(self) -> bytes:
        """Head of the minute's ring."""
        return (self._prefix % "m").encode()

    @property
    def ring_body(self) -> bytes:
        return (self._prefix % "b").encode()

    def quota(self, window_starts_at_ms: int) -> bytes:
        return f"{self._prefix % 'q'}:{window_starts_at_ms // 1000}".encode()

    def record(self, digest: str) -> bytes:
        """Of an Idempotency-Key, by its `key_digest`."""
        return f"{self._prefix % 'i'}:{digest}".encode()

    def of_key(self, prefix: str) -> tuple[bytes, bytes]:
        """The minute of one API key, as the account's: head and body of a ring."""
        return f"{self._prefix % 'km'}:{prefix}".encode(), f"{self._prefix % 'kb'}:{prefix}".encode()

    def key_budget(self, prefix: str, window: str, window_starts_at_ms: int) -> bytes:
        """Tokens of one API key in a window: "d", a day, or "m", a month; both may begin at the same instant."""
        return f"{self._prefix % 'k'}:{prefix}:{window}{window_starts_at_ms // 1000}".encode()

    def run(self, run: str) -> bytes:
        """Of a run, by its `key_digest`."""
        return f"{self._prefix % 'n'}:{run}".encode()

    def void_marker(self, event: str) -> bytes:
        return f"{self._prefix % 'x'}:{event}".encode()

    def reservation(self, event: str) -> bytes:
        """Of a reservation, by the id of its charge."""
        return f"{self._prefix % 'r'}:{event}".encode()


@cache
def _keys_of_shard(tag: str) -> tuple[bytes, bytes]:
    """One object for all accounts of the shard: a worker remembers many."""
    return f"{tag}:events".encode(), f"{tag}:catalogue".encode()


def keys_of(account: int) -> AccountKeys:
    """The keys of one account, for who has none of its snapshots."""
    return _keys_in(shard_of(account), account)


@lru_cache(4_096)
def _keys_in(_shard: int, account: int) -> AccountKeys:
    return AccountKeys(account)


def key_digest(idempotency_key: str) -> str:
    """Names an Idempotency-Key or a run, 32 hexadecimal digits: a customer's text is not kept, and forges no key."""
    return hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]


def shard_of(account: int) -> int:
    return account % int(settings.RATELIMIT_SHARDS)


def shard_tag(shard: int) -> str:
    return f"{{s{shard:02d}}}"


def stream(shard: int) -> str:
    return f"{shard_tag(shard)}:events"


@cache
def due_reservations(shard: int) -> bytes:
    """A sorted set: each open reservation of the shard, by when it expires; named by account and id."""
    return f"{shard_tag(shard)}:due".encode()


def catalogue_fence(shard: int) -> str:
    return f"{shard_tag(shard)}:catalogue"
