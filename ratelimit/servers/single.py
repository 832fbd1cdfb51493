"""How scripts reach one Redis: one command on a lean connection of the calling thread, and never a blind retry.

In a cluster every primary is such a server (cluster_node.py); what goes over a connection stands in wire.py.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.retry import Retry

from ratelimit import process_state
from ratelimit.scripts import Script
from ratelimit.servers.replicas import Replicas
from ratelimit.servers.wire import Argument, Wire, pack

CANNOT_SERVE = frozenset({"READONLY", "OOM", "MISCONF", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "BUSY", "NOPERM"})
"""Codes of replies that tell of the server's state, not of a faulty script. None of them leaves a script half run."""
OF_A_CLUSTER = frozenset({"MOVED", "ASK", "TRYAGAIN", "CROSSSLOT"})


class RedisUnreachable(Exception):
    """Redis did not answer in time, or not at all, or cannot serve. Whether the script ran is not known."""


class NotExecuted(RedisUnreachable):
    """Redis could not be asked, or has refused: nothing has changed in it, and nothing will."""


class ServerChanged(Exception):
    """A new server answers at the address: what this process published to the old one may be missing. Nothing ran."""


class Command(NamedTuple):
    """A script with its keys and arguments; the keys lie in one slot of a cluster.

    `packed` is the EVALSHA of all of it as it goes over the wire, for a caller that has it already.
    """

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[Argument] = ()
    packed: bytes = b""

    def by_digest(self) -> bytes:
        """The EVALSHA, packed."""
        return self.packed or pack(b"EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments)

    def by_source(self) -> tuple[Argument, ...]:
        """The EVAL, for a server that does not know the script, in words."""
        return b"EVAL", self.script.source, len(self.keys), *self.keys, *self.arguments


class Store(ABC):
    """Runs scripts. `epoch` grows whenever another server process answers, as after a restart or a failover."""

    epoch = 1

    @abstractmethod
    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        """The script's reply. Raises RedisUnreachable, or redis' ResponseError: of a faulty script, or a damaged key.

        With an `epoch`: raises ServerChanged, and runs nothing, when that is no longer the server's.
        """

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands of any slots, in their order. Raises the first error; other commands may have run."""
        return [self.run(command) for command in commands]

    @abstractmethod
    def ask(self, key: bytes, *words: Argument) -> Any:
        """The bare reply of a command on this key, which changes nothing. Raises RedisUnreachable, or ResponseError."""

    @abstractmethod
    def ping(self) -> None:
        """Find out whether it answers, within the time that a script would have. Raises RedisUnreachable."""


class SingleServer(Store):
    """One Redis or Valkey, by TCP or Unix socket; with `replicas`, one that waits for its replicas."""

    cannot_serve = CANNOT_SERVE | OF_A_CLUSTER

    def __init__(self, url: str, timeout_seconds: float, replicas: Replicas | None = None) -> None:
        # Only to read the URL. It gives out no connections: it would stop at a hundred ever made, and every reconnect
        # makes one.
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            retry_on_timeout=False,
            driver_info=None,  # two round trips a connection less
        )
        self._replicas = replicas
        self._server: tuple[bytes, ...] = ()
        # A forked child must not speak on its parent's sockets.
        self._local = process_state.remember(self, "_local", threading.local)
        self._lock = process_state.remember(self, "_lock", threading.Lock)

    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        wire = self._wire()
        if epoch is not None and epoch != self.epoch:
            raise ServerChanged
        ask = self._ask_and_wait if self._replicas else Wire.ask_packed
        try:
            try:
                return ask(wire, command.by_digest())
            except NoScriptError:
                # The one blind retry that is safe: the server says that it ran nothing.
                return ask(wire, pack(*command.by_source()))
        except BaseException as error:
            self._give_up(error)
            raise

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """In one round trip, unless replicas are waited for."""
        if self._replicas:
            return super().run_all(commands)
        wire = self._wire()
        try:
            replies = wire.ask_many([command.by_digest() for command in commands])
        except BaseException as error:
            self._give_up(error)
            raise
        answered = []
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, NoScriptError):
                answered.append(self.run(command))
            elif isinstance(reply, BaseException):
                self._give_up(reply)
                raise reply
            else:
                answered.append(reply)
        return answered

    def ask(self, key: bytes, *words: Argument) -> Any:
        wire = self._wire()
        try:
            return wire.ask(*words)
        except BaseException as error:
            self._give_up(error)
            raise

    def _give_up(self, error: BaseException) -> None:
        """Raises RedisUnreachable where the error means that; the connection is closed unless the reply was read."""
        if isinstance(error, ResponseError) and code_of(error) not in self.cannot_serve:
            return
        # Or the next caller would read this call's late reply. A replica that was a primary stays one for this
        # connection; the address may name another by now.
        self._hang_up()
        if isinstance(error, ResponseError):
            raise NotExecuted(str(error)) from error
        if isinstance(error, RedisError | OSError):
            raise RedisUnreachable(str(error)) from error

    def ping(self) -> None:
        wire = self._wire()
        try:
            wire.ask(b"PING")
        except (RedisError, OSError) as error:
            self._hang_up()
            raise RedisUnreachable(str(error)) from error

    def _ask_and_wait(self, wire: Wire, packed: bytes) -> Any:
        """The script's reply, once the replicas have confirmed it or had their time."""
        assert self._replicas is not None
        answer, confirmed = wire.ask_two(packed, self._replicas.command)
        if isinstance(confirmed, BaseException):
            self._hang_up()  # the script's answer is known; WAIT's may still come
        if isinstance(answer, BaseException):
            raise confirmed if isinstance(confirmed, BaseException) else answer
        self._replicas.confirmed(confirmed if isinstance(confirmed, int) else 0)
        return answer

    def _wire(self) -> Wire:
        """The calling thread's connection, made anew when there is none or the server has hung up."""
        wire: Wire | None = getattr(self._local, "wire", None)
        if wire is not None and wire.epoch == self.epoch and not wire.idle.poll(0):
            return wire
        self._hang_up()
        try:
            return self._connect()
        except (RedisError, OSError) as error:
            raise NotExecuted(str(error)) from error

    def _connect(self) -> Wire:
        connection = cast(redis.Connection, self._pool.connection_class(**self._pool.connection_kwargs))
        try:
            connection.connect()
            wire = Wire(connection)
            # The same process holds other data once it has been a replica, and then has another replication id.
            answers = wire.ask_two(pack(b"INFO", b"server"), pack(b"INFO", b"replication"))
            for answer in answers:
                if isinstance(answer, BaseException):
                    raise answer
        except BaseException:
            connection.disconnect()
            raise
        facts = b"\n".join(answers).splitlines()
        server = tuple(line for line in facts if line.startswith((b"run_id:", b"master_replid:")))
        with self._lock:
            known, self._server = self._server, server
            if known and known != server:
                self._changed()
            wire.epoch = self.epoch
        self._local.wire = wire
        return wire

    def _changed(self) -> None:
        """Another server answers at the address, or the same one with other data."""
        self.epoch += 1

    def _hang_up(self) -> None:
        wire: Wire | None = getattr(self._local, "wire", None)
        self._local.wire = None
        if wire is not None:
            wire.connection.disconnect()


def code_of(error: ResponseError) -> str:
    """The first word of an error reply, which redis-py cuts off where it knows it."""
    return error.status_code or str(error).partition(" ")[0]
