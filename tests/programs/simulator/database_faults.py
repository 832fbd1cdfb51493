"""The simulated processes' connections to PostgreSQL: a pause before each statement and around each commit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import psycopg
from django.db import OperationalError, connection

from tests.programs.simulator.hangs import COMMIT, Hangs, late_statement
from tests.programs.simulator.schedule import Process


class Observer:
    """A connection of the simulator's own, which sees what is committed and who waits for whom."""

    def __init__(self) -> None:
        connection.ensure_connection()
        self._raw = psycopg.connect(connection.connection.info.dsn, autocommit=True, password=_password())

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self._raw.execute(statement, parameters).fetchall()  # type: ignore[call-overload, no-any-return]

    def execute(self, statement: str, *parameters: Any) -> None:
        self._raw.execute(statement, parameters)  # type: ignore[call-overload]

    def blockers(self, backend: int) -> list[int]:
        """Of whom this server process waits to give back a lock."""
        return list(self.rows("SELECT pg_blocking_pids(%s)", backend)[0][0])

    def await_end_of(self, backend: int) -> None:
        """A server process that has lost its client gives back its locks when it notices."""
        while self.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend):
            pass

    def close(self) -> None:
        self._raw.close()


def closed_connection() -> psycopg.Connection[Any]:
    raw = psycopg.connect(connection.connection.info.dsn, password=_password())
    raw.close()
    return raw


def _password() -> str:
    return str(connection.settings_dict.get("PASSWORD") or "")


class Faults:
    """Of one history: how often a connection breaks."""

    def __init__(self) -> None:
        self.begin(Random(0), False)

    def begin(self, random: Random, breaks: bool) -> None:
        self._random = random
        self._breaks = breaks

    def strike(self) -> bool:
        return self._breaks and self._random.random() < 0.01


def watch_connection(
    process: Process,
    faults: Faults,
    hangs: Hangs,
    observer: Observer,
    executed: Callable[[Process, str, Any, int], None],
    committed: Callable[[Process], None],
    commit_given_up: Callable[[Process], Callable[[], None]],
) -> None:
    """Have the present thread's connection pause as its process does. Called once in each process' own thread."""
    commit = connection._commit

    def hang_up(when: str) -> None:
        process.pause(f"{when}: PostgreSQL hangs up")
        cut(observer)
        raise OperationalError("simulated: the connection is closed")

    def paused(execute: Any, sql: Any, parameters: Any, many: bool, context: Any) -> Any:
        what = " ".join(str(sql).split())[:50]
        process.pause(what)
        hangs.meet(process, what, late_statement(sql, parameters))
        if faults.strike():
            hang_up(what)
        try:
            _name_backend(process)
            result = execute(sql, parameters, many, context)
        finally:
            process.give_turn_back_if_blocked(what)
        executed(process, sql, parameters, context["cursor"].rowcount)
        if not connection.in_atomic_block:
            committed(process)
            process.pause(f"after {what}")
        return result

    def paused_commit() -> None:
        process.pause(COMMIT)
        hangs.meet(process, COMMIT, lambda raw: raw.commit(), lambda: commit_given_up(process))
        if faults.strike():
            hang_up(COMMIT)
        _name_backend(process)
        commit()
        process.give_turn_back_if_blocked(COMMIT)
        committed(process)
        process.pause("committed")
        if faults.strike():
            hang_up("committed")

    connection.execute_wrappers.append(paused)
    connection._commit = paused_commit  # type: ignore[method-assign]


def _name_backend(process: Process) -> None:
    """Who waits for a lock, should one have to be waited for: by this statement, or by a COPY after it."""
    raw = connection.connection
    process.backend = raw.info.backend_pid if raw is not None and not raw.closed else None


def cut(observer: Observer) -> None:
    """The present thread's connection ends at once, and with it its transaction and its locks."""
    raw = connection.connection
    if raw is not None and not raw.closed:
        backend = raw.info.backend_pid
        raw.close()
        observer.await_end_of(backend)


def replace_if_cut() -> None:
    """As the web server does before a request."""
    if connection.connection is not None and connection.connection.closed:
        forget_connection()


def forget_connection() -> None:
    """As in a new process, whatever state the old one was in."""
    with suppress(Exception):
        connection.close()
    connection.connection = None
    connection.in_atomic_block = connection.needs_rollback = connection.closed_in_transaction = False
    connection.savepoint_ids, connection.atomic_blocks, connection.run_on_commit = [], [], []
    connection.commit_on_exit = True
    connection.autocommit = False
    connection.run_commit_hooks_on_set_autocommit_on = False
