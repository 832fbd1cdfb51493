"""The simulated processes' ways to the one real Redis: a command may fail before it runs, after it, or run later."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ratelimit.servers.single import Command, NotExecuted, RedisUnreachable, SingleServer, Store
from ratelimit.servers.wire import Argument
from tests.programs.simulator.schedule import here


class Ran(NamedTuple):
    """A command that the server has run, and what it said."""

    by: str
    command: Command
    reply: Any
    late: bool = False
    """Whether whoever sent it had given it up."""

    @property
    def script(self) -> str:
        return self.command.script.name


class Server:
    """The enforcement Redis of one history: who reaches it, what still travels to it, and which copies exist of it."""

    def __init__(self, url: str, watch: Any) -> None:
        self.url = url
        self.own = redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        self.watch = watch
        self.begin(Random(0), frozenset())

    def begin(self, random: Random, faults: frozenset[str]) -> None:
        """Empty, and well."""
        self.random = random
        self.faults = faults
        self.run_id = 1
        self.cut_off: set[str] = set()
        self.hangs = False
        self.was_out_of_reach = False
        self.travelling: list[tuple[str, Command]] = []
        self.own.flushall()
        self.copy: list[tuple[bytes, bytes, int]] = []

    def fault(self) -> str:
        """What happens to this command."""
        kinds = [kind for kind in ("refused", "late", "reply lost") if kind in self.faults]
        return self.random.choice(kinds) if kinds and self.random.random() < 0.06 else ""

    def deliver(self, at: int) -> str:
        """A command that nobody waits for any more arrives."""
        by, command = self.travelling.pop(at)
        reply = self.own.execute_command(*command.by_source())
        self.ran(Ran(by, command, reply, late=True))
        return f"{command.script.name} of {by} arrives late: {reply!r:.60}"

    def ran(self, ran: Ran) -> None:
        self.watch(ran)
        if "failover" in self.faults and self.random.random() < 0.15:
            self.take_copy()

    def take_copy(self) -> None:
        """What a replica, or an append-only file, has of it now."""
        keys = sorted(self.own.keys("*"))
        with self.own.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.dump(key).pexpiretime(key)
            answers = pipeline.execute()
        self.copy = [(key, answers[2 * i], max(answers[2 * i + 1], 0)) for i, key in enumerate(keys)]

    def flush(self) -> None:
        self.own.flushall()

    def replace_by_copy(self) -> None:
        """Another server answers from here on, with what the copy holds. What travelled to the old one is gone."""
        self.own.flushall()
        with self.own.pipeline(transaction=False) as pipeline:
            for key, value, expires_at in self.copy:
                pipeline.restore(key, expires_at, value, absttl=bool(expires_at))
            pipeline.execute()
        self.run_id += 1
        self.travelling.clear()

    def entries(self, stream: str) -> list[bytes]:
        return [fields[b"e"] for _, fields in self.own.xrange(stream)]  # type: ignore[union-attr]


class Way(SingleServer):
    """One process' way: production's own, to a server that the history may put out of its reach or replace."""

    def __init__(self, server: Server, name: str, timeout_seconds: float) -> None:
        super().__init__(server.url, timeout_seconds)
        self.name = name
        self.server = server
        self.forget()

    def forget(self) -> None:
        """As in a new process."""
        self.epoch, self._known_run_id = 1, 0

    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        process, server, name = here(), self.server, command.script.name
        if process is None:
            return super().run(command, epoch=epoch)
        process.pause(name)
        fault = self.fault(name)
        if fault in ("cut off", "refused"):
            self._lose(fault)
        if fault == "late":
            # Unless it was meant for a server that this one has replaced: that is noticed before anything is sent.
            if epoch is None or (epoch == self.epoch and self._known_run_id in (0, server.run_id)):
                server.travelling.append((self.name, command))
            self._lose(fault)
        reply = super().run(command, epoch=epoch)
        server.ran(Ran(self.name, command, reply))
        if fault:
            self._lose(fault)
        process.pause(f"{name} answered {reply!r:.60}")
        return reply

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        """One after the other: what happens between two of them is a history as well."""
        return [self.run(command) for command in commands]

    def ask(self, key: bytes, *words: Argument) -> Any:
        process, what = here(), str(words[0])
        if process is not None:
            process.pause(what)
            if fault := self.fault(what):
                self._lose(fault)
        return super().ask(key, *words)

    def ping(self) -> None:
        process = here()
        if process is not None:
            process.pause("ping")
            if fault := self.fault("ping"):
                self._lose(fault)
        super().ping()

    def fault(self, what: str) -> str:
        process = here()
        assert process is not None
        server = self.server
        # What is sent to one that hangs arrives when it goes on.
        fault = "cut off" if process.name in server.cut_off else "late" if server.hangs else server.fault()
        if fault:
            process.pause(f"{what}: {fault}")
        return fault

    def _lose(self, fault: str) -> None:
        self.server.was_out_of_reach = True
        self._hang_up()
        raise NotExecuted(fault) if fault == "refused" else RedisUnreachable(fault)

    def _wire(self) -> Any:
        present = self.server.run_id
        if getattr(self._local, "run_id", present) != present:
            self._hang_up()
        self._local.run_id = present
        if self._known_run_id != present:
            if self._known_run_id:
                self.epoch += 1
            self._known_run_id = present
        return super()._wire()


class WayOfTheProcess(Store):
    """What `store()` gives: the way of whichever process asks."""

    def __init__(self, ways: dict[str, Way], own: SingleServer) -> None:
        self._ways = ways
        self._own = own

    def _way(self) -> SingleServer:
        process = here()
        return self._own if process is None else self._ways[process.name]

    @property
    def epoch(self) -> int:  # type: ignore[override]
        return self._way().epoch

    def run(self, command: Command, *, epoch: int | None = None) -> Any:
        return self._way().run(command, epoch=epoch)

    def run_all(self, commands: Sequence[Command]) -> list[Any]:
        return self._way().run_all(commands)

    def ask(self, key: bytes, *words: Argument) -> Any:
        return self._way().ask(key, *words)

    def ping(self) -> None:
        self._way().ping()


class Client(redis.Redis):
    """What `client()` gives off the request path, likewise."""

    ways: dict[str, Way] = {}

    def execute_command(self, *words: Any, **options: Any) -> Any:
        process = here()
        if process is not None:
            process.pause(str(words[0]))
            way = self.ways[process.name]
            if way.fault(str(words[0])):
                way.server.was_out_of_reach = True
                raise redis.ConnectionError("simulated")
        return super().execute_command(*words, **options)
