"""One client's connection: what has come of its request, and what it has not yet taken of its answer."""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import IO, Any, Final

from gunicorn.workers.gthread import TConn

from billing_site.serving.framing import Frame
from billing_site.serving.spool import Spool

BLOCK: Final = 65_536
"""Bytes of one read or write; a client that moves less within its time is too slow."""
RESET: Final = struct.pack("ii", 1, 0)
LINGER_SECONDS: Final = 2.0
"""For the client to take an answer's end, or notice a closed idle connection, before a reset would cut it off."""


class Channel:
    """What gunicorn's parser and response take for the socket: it never waits for the client.

    Reads give the request that has come and then the end; writes send what the client takes, and keep the rest.
    """

    def __init__(self, raw: socket.socket, on_unsent: Callable[[], None]) -> None:
        self.raw = raw
        self.lock = threading.Lock()
        self.incoming, self.unsent = Spool(), Spool()
        self.ran_out = False
        """The parser wanted more than was there, so nobody knows where a next request would begin."""
        self.broken = False
        """Closed by one side: what is written raises."""
        self.sent_continue = False
        self._on_unsent = on_unsent

    def recv(self, most: int) -> bytes:
        data = self.incoming.take(most)
        self.ran_out = self.ran_out or not data
        return data

    def sendall(self, data: bytes) -> None:
        """Raises BrokenPipeError when the connection is closed."""
        with self.lock:
            if self.broken:
                raise BrokenPipeError(errno.EPIPE, "the connection is closed")
            if self.unsent:
                self.unsent.put(data)
                return
            sent = _send(self.raw, data)
            if sent == len(data):
                return
            self.unsent.put(memoryview(data)[sent:])
        self._on_unsent()

    def send(self, data: bytes) -> int:
        """Gunicorn's 100 Continue, which a client that waited for it has got."""
        if not self.sent_continue:
            self.sendall(data)
        return len(data)

    def sendfile(self, file: IO[bytes], offset: int = 0, count: int | None = None) -> int:
        file.seek(offset)
        sent = 0
        while data := file.read(BLOCK if count is None else min(BLOCK, count - sent)):
            self.sendall(data)
            sent += len(data)
        return sent

    def flush(self) -> int:
        """Send what the client takes now; how many bytes that was. Raises OSError when the client is gone."""
        flushed = 0
        with self.lock:
            while self.unsent and not self.broken:
                sent = _send(self.raw, self.unsent.peek(BLOCK))
                if not sent:
                    break
                self.unsent.drop(sent)
                flushed += sent
        return flushed

    def close(self) -> None:
        """What was not taken is thrown away, in the kernel too, which would wait for the client for minutes."""
        with self.lock:
            self.broken = True
            if self.unsent:
                with contextlib.suppress(OSError):
                    self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.unsent.close()
            self.raw.close()

    # Gunicorn sets timeouts around its reads and writes, none of which waits here.

    def setblocking(self, flag: bool) -> None:
        pass

    def gettimeout(self) -> float:
        return 0.0

    def settimeout(self, timeout: float | None) -> None:
        pass

    def shutdown(self, how: int) -> None:
        """Gunicorn gives up an answer in its middle."""
        raise OSError("left to the loop")


def _send(raw: socket.socket, data: bytes) -> int:
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while sent < len(data):
            sent += raw.send(memoryview(data)[sent:])
    return sent


class Connection(TConn):
    """Gunicorn's connection with a deadline. Its fields belong to the loop, those of its channel to both."""

    def __init__(
        self, cfg: Any, raw: socket.socket, client: Any, server: Any, largest_body: int, on_unsent: Callable[..., None]
    ) -> None:
        self.channel = Channel(raw, lambda: on_unsent(self))
        super().__init__(cfg, self.channel, client, server)
        self.data_ready = True  # gunicorn would look for it on the socket
        self.raw = raw
        self.frame = Frame(largest_body)
        self.events = 0
        """What the loop watches it for."""
        self.since = time.monotonic()
        """When what it is in now has begun: the wait for a request, or for an answer to be taken."""
        self.deadline = float("inf")
        self.in_thread = False
        self.is_new = True
        """No request of it was answered: its client is about to send one, and may not send it twice."""
        self.stays = True
        """A further request may come."""
        self.refused = False
        """What comes now is thrown away, until the client has read that it was refused or that this is the end."""
        self._largest_body = largest_body
        self._moved = 0

    @property
    def is_idle(self) -> bool:
        return not self.in_thread and not self.channel.incoming and not self.channel.unsent

    def allow(self, seconds: float) -> None:
        """Give the client so much time for the next block of what it sends or takes."""
        self.since = time.monotonic()
        self.deadline, self._moved = self.since + seconds, 0

    def moved(self, count: int, seconds: float) -> None:
        """So many bytes came or went; a whole block of them gives the client its time anew."""
        self._moved += count
        if self._moved >= BLOCK:
            self.deadline, self._moved = time.monotonic() + seconds, 0

    def receive(self, data: bytes) -> None:
        self.channel.incoming.put(data)
        self.frame.feed(data)

    def begin_next(self) -> None:
        """Look at what came behind the request that was answered."""
        channel = self.channel
        behind = channel.incoming.take(len(channel.incoming))
        if self.parser is not None:
            behind = self.parser.unreader.take_buffered() + behind
        channel.sent_continue = self.is_new = False
        self.frame = Frame(self._largest_body)
        if behind:
            self.receive(behind)

    def close(self, graceful: bool = False) -> None:
        if not self.in_thread:
            self.channel.incoming.close()
        self.channel.close()
