"""A TCP proxy between the site and its Redis that goes silent, slows down, loses replies or holds a command.

It is a process of its own, so that a busy harness slows down no command: it takes orders on stdin, one JSON object a
line, answers `ok` to each on stdout, says `held` when it withholds a command, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ratelimit.scripts import Script

CHUNK = 1 << 16
ANSWER_SECONDS = 10.0


class ProxyError(Exception):
    """The proxy's process does not answer."""


class Proxy:
    """The proxy as the harness sees it: `url` leads through it to the server behind `target`, a Unix socket."""

    def __init__(self, target: Path, port: int, seed: int, log: Path) -> None:
        self.port = port
        argv = [sys.executable, "-m", "tests.programs.chaos.proxy", str(port), str(target), str(seed)]
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._said = b""
        self._await("ok", ANSWER_SECONDS)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def passing(self) -> None:
        """Lead everything through; what was held back by a blackhole goes on its way."""
        self._order(mode="pass")

    def blackhole(self) -> None:
        """Nothing arrives any more, neither what is under way nor a new connection; nobody is told."""
        self._order(mode="blackhole")

    def cut_off(self, pid: int) -> None:
        """Lead everything through but what one process asks and is answered."""
        self._order(mode="pass", cut_off=pid)

    def delay(self, seconds: float) -> None:
        """Every reply arrives so much later."""
        self._order(mode="pass", delay=seconds)

    def lose_replies(self, share: float) -> None:
        """This share of the scripts run, but nobody hears of it: their connections never answer again."""
        self._order(mode="pass", lose=share)

    def hold(self, *scripts: Script) -> None:
        """Withhold the next call of one of these scripts; it is never sent on."""
        self._order(mode="pass", hold=[script.sha.decode() for script in scripts])

    def held(self, seconds: float) -> bool:
        """Wait for the moment at which a command is withheld."""
        try:
            self._await("held", seconds)
        except ProxyError:
            return False
        return True

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(3)
        self._process.kill()
        self._process.wait()

    def _order(self, **order: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ProxyError(f"the proxy is gone: {error}") from error
        self._await("ok", ANSWER_SECONDS)

    def _await(self, word: str, seconds: float) -> None:
        """Read until the proxy says `word`; what it said before that is of the past."""
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while True:
            line, separator, rest = self._said.partition(b"\n")
            if separator:
                self._said = rest
                if line.decode() == word:
                    return
                continue
            ready, _, _ = select.select([self._process.stdout], [], [], max(until - time.monotonic(), 0))
            said = os.read(self._process.stdout.fileno(), CHUNK) if ready else b""
            if not said:
                raise ProxyError(f"the proxy has not said {word!r}")
            self._said += said


class _Relay:
    """What runs in the proxy's process."""

    def __init__(self, port: int, target: str, seed: int) -> None:
        self.port = port
        self.target = target
        self.chance = random.Random(seed)
        self.open = asyncio.Event()
        self.delay = 0.0
        self.lose = 0.0
        self.hold: list[bytes] = []
        self.cut_off = 0
        self._ways: dict[int, asyncio.Event] = {}  # from a client's port; set while it is open
        self._server: asyncio.Server | None = None
        self._wall: list[socket.socket] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def obey(self) -> None:
        orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        await self._apply({"mode": "pass"})
        while line := await orders.readline():
            await self._apply(json.loads(line))
        os._exit(0)  # whoever is connected is on his way out as well

    async def _apply(self, order: dict[str, Any]) -> None:
        self.delay, self.lose = order.get("delay", 0.0), order.get("lose", 0.0)
        self.hold = [sha.encode() for sha in order.get("hold", [])]
        self.cut_off = order.get("cut_off", 0)
        for port in self._ways:
            self._open_or_cut(port)
        if order["mode"] == "blackhole":
            self.open.clear()
            if self._server is not None:
                self._server.close()
                self._server = None
                self._build_wall()
        else:
            for end in self._wall:
                end.close()
            self._wall.clear()
            if self._server is None:
                self._server = await asyncio.start_server(self._meet, "127.0.0.1", self.port, reuse_address=True)
            self.open.set()
        say("ok")

    def _open_or_cut(self, port: int) -> None:
        if self.cut_off and (port, self.port) in tcp_ports(self.cut_off):
            self._ways[port].clear()
        else:
            self._ways[port].set()

    def _build_wall(self) -> None:
        """A listener whose queue is full and never read: the kernel drops whoever knocks, as a dead network does."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(0)
        self._wall.append(listener)
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._wall.append(filler)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind_reader, behind_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        deaf: list[bool] = []
        port = writer.get_extra_info("peername")[1]
        way = self._ways[port] = asyncio.Event()
        self._open_or_cut(port)
        pumps = [
            asyncio.create_task(self._asked(reader, behind_writer, deaf, way)),
            asyncio.create_task(self._answered(behind_reader, writer, deaf, way)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            if self._ways.get(port) is way:
                del self._ways[port]
            writer.close()
            behind_writer.close()

    async def _asked(
        self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter, deaf: list[bool], way: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self.open.wait()
                await way.wait()
                if any(sha in chunk for sha in self.hold):
                    self.hold = []
                    say("held")
                    while await reader.read(CHUNK):
                        pass
                    return
                if self.lose and b"EVAL" in chunk and self.chance.random() < self.lose:
                    deaf.append(True)
                behind.write(chunk)
                await behind.drain()

    async def _answered(
        self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter, deaf: list[bool], way: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await behind.read(CHUNK):
                await self.open.wait()
                await way.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not deaf:
                    writer.write(chunk)
                    await writer.drain()


def tcp_ports(pid: int) -> set[tuple[int, int]]:
    """Its own and the other's port of each connection over IPv4 that a process holds."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            held.add(os.readlink(descriptor))
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {(port_in(fields[1]), port_in(fields[2])) for fields in lines if f"socket:[{fields[9]}]" in held}


def port_in(address: str) -> int:
    return int(address.partition(":")[2], 16)


def say(word: str) -> None:
    os.write(sys.stdout.fileno(), f"{word}\n".encode())


if __name__ == "__main__":
    asyncio.run(_Relay(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])).obey())
