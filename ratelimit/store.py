"""How scripts reach Redis: one command on a lean connection of the calling thread, and never a blind retry.

redis-py's own call path costs as much as a loopback round trip, so the single-server path packs the command itself and
speaks over redis-py's `Connection`. A cluster goes through `RedisCluster`, which knows where a slot lives.
"""

from __future__ import annotations

import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from typing import Any, cast

import hiredis
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from ratelimit.scripts import Script

Argument = bytes | str | int

CANNOT_SERVE = frozenset({"READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "TRYAGAIN"})
"""Codes of replies that tell of the server's state, not of a faulty script. None of them leaves a script half run."""


class RedisUnreachable(Exception):
    """Redis did not answer in time, or not at all, or cannot serve. Whether the script ran is not known."""


class ServerChanged(Exception):
    """A new server answers at the address: what this process told the old one may be missing. Nothing was run."""


class Store(ABC):
    """Runs scripts. `epoch` grows whenever another server process answers, as after a restart or a failover."""

    epoch = 1

    @abstractmethod
    def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], *, epoch: int | None = None
    ) -> Any:
        """The script's reply. Raises RedisUnreachable, or redis' ResponseError for a faulty script.

        With an `epoch`: raises ServerChanged, and runs nothing, when that is no longer the server's.
        """


class _Wire:
    """One thread's connection, with a poll object that tells whether the server hung up while it was idle."""

    __slots__ = ("connection", "idle")

    def __init__(self, connection: redis.Connection) -> None:
        self.connection = connection
        self.idle = select.poll()
        self.idle.register(cast(Any, connection)._sock, select.POLLIN | select.POLLHUP | select.POLLERR)

    def ask(self, *words: Argument) -> Any:
        # hiredis' types leave out that a tuple may be of any length.
        command = hiredis.pack_command(cast(Any, words))
        self.connection.send_packed_command([command], check_health=False)
        return self.connection.read_response()


class SingleServer(Store):
    """One Redis or Valkey, by TCP or Unix socket."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        # Only to read the URL. It gives out no connections: it would stop at a hundred ever made, and every reconnect
        # makes one.
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
        )
        self._local = threading.local()
        self._lock = threading.Lock()
        self._server = b""
        os.register_at_fork(after_in_child=self._forget_connections)

    def _forget_connections(self) -> None:
        # A forked child must not speak on its parent's sockets.
        self._local = threading.local()
        self._lock = threading.Lock()

    def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], *, epoch: int | None = None
    ) -> Any:
        wire = self._wire()
        if epoch is not None and epoch != self.epoch:
            raise ServerChanged
        try:
            try:
                return wire.ask(b"EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                # The one blind retry that is safe: the server says that it ran nothing.
                return wire.ask(b"EVAL", script.source, len(keys), *keys, *arguments)
        except ResponseError as error:
            if _code(error) not in CANNOT_SERVE:
                raise
            # A replica that was a primary stays one for this connection; the address may name another by now.
            self._hang_up()
            raise RedisUnreachable(str(error)) from error
        except BaseException as error:
            # The connection is closed, or the next caller would read this call's late reply.
            self._hang_up()
            if isinstance(error, RedisError | OSError):
                raise RedisUnreachable(str(error)) from error
            raise

    def _wire(self) -> _Wire:
        """The calling thread's connection, made anew when there is none or the server has hung up."""
        wire: _Wire | None = getattr(self._local, "wire", None)
        if wire is not None and not wire.idle.poll(0):
            return wire
        self._hang_up()
        try:
            return self._connect()
        except (RedisError, OSError) as error:
            raise RedisUnreachable(str(error)) from error

    def _connect(self) -> _Wire:
        connection = cast(redis.Connection, self._pool.connection_class(**self._pool.connection_kwargs))
        connection.connect()
        wire = _Wire(connection)
        facts = cast(bytes, wire.ask(b"INFO", b"server"))
        server = next((line for line in facts.splitlines() if line.startswith(b"run_id:")), b"")
        with self._lock:
            known, self._server = self._server, server
            if known and known != server:
                self.epoch += 1
        self._local.wire = wire
        return wire

    def _hang_up(self) -> None:
        wire: _Wire | None = getattr(self._local, "wire", None)
        self._local.wire = None
        if wire is not None:
            wire.connection.disconnect()


class Cluster(Store):
    """A Redis Cluster. Only replies that say nothing was run (MOVED, ASK, TRYAGAIN) are followed up by the client."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds

    @cached_property
    def _client(self) -> RedisCluster:
        # Made on first use, since that asks the cluster, which may be out of reach.
        return RedisCluster.from_url(
            self._url,
            protocol=2,
            socket_timeout=self._timeout_seconds,
            socket_connect_timeout=self._timeout_seconds,
            retry=Retry(NoBackoff(), 0),
        )

    def run(
        self, script: Script, keys: Sequence[bytes], arguments: Sequence[Argument], *, epoch: int | None = None
    ) -> Any:
        try:
            try:
                return self._client.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return self._client.execute_command("EVAL", script.source, len(keys), *keys, *arguments)
        except ResponseError as error:
            if _code(error) not in CANNOT_SERVE:
                raise
            raise RedisUnreachable(str(error)) from error
        except (RedisError, RedisClusterException, OSError) as error:
            raise RedisUnreachable(str(error)) from error


def _code(error: ResponseError) -> str:
    """The first word of an error reply, which redis-py cuts off where it knows it."""
    return error.status_code or str(error).partition(" ")[0]


@contextmanager
def reaching_redis() -> Iterator[None]:
    """What an ordinary client raises when Redis is out of reach, as RedisUnreachable."""
    try:
        yield
    except (RedisError, RedisClusterException, OSError) as error:
        raise RedisUnreachable(str(error)) from error


@cache
def store() -> Store:
    """The process' way to the enforcement Redis, as the settings name it."""
    timeout_seconds = settings.REDIS_TIMEOUT_MS / 1000
    kind = Cluster if settings.REDIS_CLUSTER else SingleServer
    return kind(settings.REDIS_URL, timeout_seconds)


@cache
def client() -> redis.Redis | RedisCluster:
    """An ordinary client for work off the request path: the drain, health, maintenance."""
    options: dict[str, Any] = {"protocol": 2, "socket_timeout": 5, "socket_connect_timeout": 2}
    if settings.REDIS_CLUSTER:
        return RedisCluster.from_url(settings.REDIS_URL, **options)
    return redis.Redis.from_url(settings.REDIS_URL, retry=Retry(NoBackoff(), 0), **options)


__all__ = [
    "Argument",
    "Cluster",
    "RedisError",
    "RedisUnreachable",
    "ServerChanged",
    "SingleServer",
    "Store",
    "client",
    "reaching_redis",
    "store",
]
