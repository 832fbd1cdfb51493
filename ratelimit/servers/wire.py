"""Commands over one connection to Redis.

redis-py's own call path costs as much as a loopback round trip, so the command is packed here and goes straight over
the socket of redis-py's `Connection`.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
from collections.abc import Sequence
from typing import Any, cast

import hiredis
import redis
from redis.exceptions import InvalidResponse, RedisError

Argument = bytes | str | int


def pack(*words: Argument) -> bytes:
    """A command as it goes over the wire."""
    # hiredis' types leave out that a tuple may be of any length.
    return cast(bytes, hiredis.pack_command(cast(Any, words)))


class Wire:
    """One thread's connection, with a poll object that tells whether the server hung up while it was idle.

    redis-py's `Connection` makes it (address, TLS, login); the words then go straight over its socket.
    `epoch`: the store's when it was made. One made before another server came is not trusted to lead to that one.
    """

    __slots__ = ("_reader", "_received", "_socket", "connection", "epoch", "idle")

    def __init__(self, connection: redis.Connection) -> None:
        self.connection = connection
        self.epoch = 0
        made = cast(Any, connection)
        self._socket = made._sock
        self._let_the_kernel_time_it()
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=made._parser.parse_error)
        self._received = bytearray(65536)  # a new one for each reply would cost more than reading it
        self.idle = select.poll()
        self.idle.register(self._socket, select.POLLIN | select.POLLHUP | select.POLLERR)

    def _let_the_kernel_time_it(self) -> None:
        """With a timeout of its own Python asks poll() before each call: twice the system calls of a round trip."""
        seconds = self._socket.gettimeout()
        if not seconds or isinstance(self._socket, ssl.SSLSocket):  # TLS would try again for ever
            return
        timeval = struct.pack("ll", *divmod(round(seconds * 1_000_000), 1_000_000))
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def ask(self, *words: Argument) -> Any:
        return self.ask_packed(pack(*words))

    def ask_packed(self, packed: bytes) -> Any:
        self._send(packed)
        answer = self._read()
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def ask_two(self, first: bytes, second: bytes) -> tuple[Any, Any]:
        """Both replies to packed commands, an error reply as the exception it stands for. The second is one when it
        did not come."""
        self._send(first + second)
        answer = self._read()
        try:
            return answer, self._read()
        except (RedisError, OSError) as error:
            return answer, error

    def ask_many(self, packed: Sequence[bytes]) -> list[Any]:
        """The replies to packed commands that are sent together, error replies as the exceptions they stand for."""
        self._send(b"".join(packed))
        return [self._read() for _ in packed]

    def _send(self, packed: bytes) -> None:
        try:
            self._socket.sendall(packed)
        except BlockingIOError:
            raise TimeoutError("it takes no command") from None

    def _read(self) -> Any:
        """The next reply, an error reply as the exception it stands for."""
        while (answer := self._reader.gets()) is False:
            try:
                count = self._socket.recv_into(self._received)
            except BlockingIOError:
                raise TimeoutError("it did not answer in time") from None
            if not count:
                raise ConnectionError("the server hung up")
            self._reader.feed(cast(Any, self._received), 0, count)
        return answer
