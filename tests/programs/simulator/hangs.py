"""A PostgreSQL that hangs: nobody gets an answer; what was sent to it is executed when it goes on, or never arrives."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import psycopg
from django.db import OperationalError, connection

from tests.programs.simulator.schedule import Process

Execute = Callable[[psycopg.Connection[Any]], object]
COMMIT = "commit"
HAS_DEADLINE = "web"
"""Only those processes give up; the others wait (docs/reliability.md, "A PostgreSQL that hangs")."""


class Sent(NamedTuple):
    """Something that a process has given up. Its transaction holds its locks until PostgreSQL comes to it."""

    by: str
    what: str
    raw: psycopg.Connection[Any]
    execute: Execute | None
    executed: Callable[[], None]


def _noted() -> Callable[[], None]:
    return lambda: None


class Hangs:
    """Of one history: whether PostgreSQL hangs, who knows of it, and what was sent to it in vain."""

    def __init__(self, closed: psycopg.Connection[Any], await_end_of: Callable[[int], None]) -> None:
        """`closed` is what is left to a process of a connection that it has given up."""
        self._closed = closed
        self._await_end_of = await_end_of
        self.sent: list[Sent] = []
        self.begin(Random(0), False)

    def begin(self, random: Random, begins_at_commits: bool) -> None:
        """`begins_at_commits`: it may begin with a COMMIT, of which then nobody knows whether it is executed."""
        self._random = random
        self._begins_at_commits = begins_at_commits
        self.goes_on = False
        self._refusing: set[str] = set()
        while self.sent:
            self.arrive(0, False)

    def forget(self, name: str) -> None:
        """The process has died."""
        self._refusing.discard(name)

    def end(self) -> None:
        """What was sent arrives or never does."""
        self.goes_on = self._begins_at_commits = False
        self._refusing.clear()
        while self.sent:
            self.arrive(self._random.randrange(len(self.sent)), self._random.random() < 0.5)

    def arrive(self, at: int, in_time: bool) -> str:
        """PostgreSQL comes to what was sent; unless `in_time`, it sees first that the client has hung up."""
        sent = self.sent.pop(at)
        executed = in_time and sent.execute is not None and _succeeds(sent.execute, sent.raw)
        backend = sent.raw.info.backend_pid
        sent.raw.close()
        self._await_end_of(backend)
        if executed:
            sent.executed()
        return f"{sent.what} of {sent.by} is {'executed late' if executed else 'forgotten'}"

    def meet(
        self, process: Process, what: str, execute: Execute | None, given_up: Callable[[], Callable[[], None]] = _noted
    ) -> None:
        """Before something is sent: wait while PostgreSQL hangs, or give it up. Raises OperationalError.

        `execute` does it when PostgreSQL goes on, where that would change anything. `given_up` is called when it is
        given up, and what that returns when it is executed all the same.
        """
        if not process.name.startswith(HAS_DEADLINE):
            while self.goes_on:
                process.pause(f"{what}: PostgreSQL hangs", at_once=True)
            return
        if self._begins_at_commits and what == COMMIT and self._random.random() < 0.2:
            self.goes_on = True
        if process.name in self._refusing:
            if not self.goes_on and self._random.random() < 0.5:
                self._refusing.discard(process.name)  # its look-out has reached PostgreSQL
            else:
                raise OperationalError("simulated: PostgreSQL is known to hang")
        while self.goes_on:
            process.pause(f"{what}: PostgreSQL hangs", at_once=True)
            if self.goes_on and self._random.random() < 0.5:
                self._refusing.add(process.name)
                self._give_up(process, what, execute, given_up())

    def _give_up(self, process: Process, what: str, execute: Execute | None, executed: Callable[[], None]) -> None:
        raw = connection.connection
        if raw is not None and not raw.closed:
            connection.connection = self._closed
            self.sent.append(Sent(process.label, what, raw, execute, executed))
        raise OperationalError("simulated: PostgreSQL hangs")


def _succeeds(execute: Execute, raw: psycopg.Connection[Any]) -> bool:
    """Not where it would have to wait for a lock: nobody could go on meanwhile."""
    try:
        execute(raw)
    except psycopg.Error:
        return False
    return True


def late_statement(sql: Any, parameters: Any) -> Execute | None:
    """What is executed late of a statement that is a transaction of its own; of a part of another one nothing."""
    if connection.in_atomic_block or not str(sql).lstrip().startswith(("INSERT", "UPDATE", "DELETE")):
        return None

    def execute(raw: psycopg.Connection[Any]) -> None:
        raw.execute("SET lock_timeout = 5")
        raw.execute(sql, parameters)

    return execute
