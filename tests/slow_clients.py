"""Clients that are slow on purpose: each opens a connection, sends what its kind sends, and stays."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Final

LARGE: Final = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
"""More than the kernel takes ahead of a client that does not read."""
HOST: Final = b"Host: localhost\r\n"
POST: Final = b"POST /api/v1/trace/start HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
FORM: Final = b"POST /api/auth/login/ HTTP/1.1\r\n" + HOST + b"Content-Type: application/x-www-form-urlencoded\r\n"
SENT: Final = {
    "silence": b"",
    "one byte": b"G",
    "a header line": b"GET /health HTTP/1.1\r\nHost: loc",
    "half a body": POST + b'Content-Length: 1000\r\n\r\n{"depth": ',
    "half a body in chunks": POST + b'Transfer-Encoding: chunked\r\n\r\nff\r\n{"depth": ',
    "half a log-in form": FORM + b"Content-Length: 1000\r\n\r\nusername=alice&pass",
    "a drip": b"GET /",
    "never reads": b"GET " + LARGE.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n",
}
"""By kind: what its client sends at first. A drip goes on, a byte at a time; the others send no more."""


class SlowClients:
    """So many connections of each kind."""

    def __init__(self, address: tuple[str, int], each: int, kinds: Sequence[str] = tuple(SENT)) -> None:
        self.sockets: dict[str, list[socket.socket]] = {kind: [] for kind in kinds}
        for _ in range(each):
            for kind in kinds:
                self.sockets[kind].append(_connect(address, SENT[kind]))

    def drip(self) -> None:
        """Send the next byte of those that send any."""
        for one in self.sockets.get("a drip", []):
            try:
                one.sendall(b"x")
            except OSError:
                continue  # it was disconnected

    def still_open(self) -> list[str]:
        """The kinds of which the server keeps a connection."""
        return [kind for kind, sockets in self.sockets.items() if any(not _ended(one) for one in sockets)]

    def answers(self, kind: str) -> set[bytes]:
        """The first lines of what the server said to those of a kind before it closed them."""
        return {_received(one).partition(b"\r\n")[0] for one in self.sockets[kind]}

    def close(self) -> None:
        for sockets in self.sockets.values():
            for one in sockets:
                one.close()


def _connect(address: tuple[str, int], sent: bytes) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.settimeout(30)
    one.connect(address)
    one.sendall(sent)
    return one


def _ended(one: socket.socket) -> bool:
    """Whether the server has closed its side; what it has sent is not read."""
    poll = select.poll()
    poll.register(one, select.POLLRDHUP)
    return bool(poll.poll(0))


def _received(one: socket.socket) -> bytes:
    parts = []
    try:
        while part := one.recv(65536):
            parts.append(part)
    except OSError:
        pass  # reset
    return b"".join(parts)
