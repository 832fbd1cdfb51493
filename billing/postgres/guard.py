"""Against a PostgreSQL that hangs: it does not answer, and no timeout of the server's or of the kernel's ends the wait.

Who has waited for a while has somebody look: one thread of the process opens a connection of its own. As long as that
succeeds the statement is merely slow, and PostgreSQL's own limits hold. When nobody in the process gets an answer
meanwhile, PostgreSQL hangs: all who wait for it are told, and nobody asks it again until that thread reaches it.

In the time until then only so many threads may wait for PostgreSQL at once (DATABASE_PLACES). Another one waits for
a place as long as any of them gets on; the threads that are left serve what needs no PostgreSQL.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import psycopg
from django.conf import settings
from django.db import OperationalError

from ratelimit import process_state

T = TypeVar("T")
logger = logging.getLogger(__name__)
PROBE_PAUSE_SECONDS = 0.25
# Parts of DATABASE_HANGS_AFTER_MS:
SUSPECT_AFTER = 0.3  # then somebody looks,
PROBED_FOR = 0.7  # and has so long to reach PostgreSQL
STALLED_AFTER = 0.25  # places are all taken, and nobody in them gets an answer


class Hangs(psycopg.OperationalError):
    """PostgreSQL does not answer. What became of the statement is not known."""


class Guard:
    """What the threads of a process know together of whether PostgreSQL answers."""

    def __init__(self) -> None:
        self.is_open = process_state.remember(self, "is_open", lambda: False)
        """Whether it is known to hang: then nobody asks it."""
        self._reach: Callable[[], psycopg.Connection[Any]] | None = None
        self._changed = process_state.remember(self, "_changed", threading.Condition)
        self._mine = process_state.remember(self, "_mine", threading.local)
        self._taken = process_state.remember(self, "_taken", int)
        self._full_since = self._answered_at = self._well_at = 0.0
        self._asked_at: float | None = process_state.remember(self, "_asked_at", lambda: None)

    def reach_by(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        """How a connection is made that is not watched."""
        self._reach = connect

    def enter(self) -> bool:
        """Take a place; False when the thread has one. Raises Hangs."""
        if not settings.DATABASE_HANGS_AFTER_MS:
            return False
        if getattr(self._mine, "place", False):
            return False
        with self._changed:
            self._await_place()
            self._taken += 1
            if self._taken == settings.DATABASE_PLACES:
                self._full_since = monotonic()
        self._mine.place = True
        return True

    def _await_place(self) -> None:
        while not self.is_open:
            if not settings.DATABASE_PLACES or self._taken < settings.DATABASE_PLACES:
                return
            left = max(self._full_since, self._answered_at) + _part(STALLED_AFTER) - monotonic()
            if left <= 0:
                raise Hangs("as many calls as may wait for PostgreSQL get no answer")
            self._changed.wait(left)
        raise Hangs("PostgreSQL hangs")

    def leave(self) -> None:
        self._mine.place = False
        with self._changed:
            self._taken -= 1
            self._changed.notify()

    def watched(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """psycopg's steps of an exchange with PostgreSQL, ended by Hangs when that hangs."""
        if not settings.DATABASE_HANGS_AFTER_MS:
            return (yield from steps)
        began = monotonic()
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready:  # psycopg looks up every tenth of a second
                    self._look(began)
                wanted = steps.send(ready)
        except StopIteration as end:
            self._answered_at = monotonic()
            return end.value  # type: ignore[no-any-return]

    def _look(self, began: float) -> None:
        now = monotonic()
        if self.is_open:
            raise Hangs("PostgreSQL hangs")
        if now - max(began, self._well_at) < _part(SUSPECT_AFTER):
            return
        asked_at = self._suspect(now)
        if now - asked_at > _part(PROBED_FOR) and self._answered_at < asked_at:
            self._open()
            raise Hangs("PostgreSQL hangs")

    def _suspect(self, now: float) -> float:
        """When the thread that looks began to; one is started where there is none."""
        with self._changed:
            if self._asked_at is None:
                self._asked_at = now
                threading.Thread(target=self._probe, name="postgres-probe", daemon=True).start()
            return self._asked_at

    def _open(self) -> None:
        with self._changed:
            if self.is_open or self._asked_at is None:
                return
            self.is_open = True
            self._changed.notify_all()
        logger.error("PostgreSQL hangs; calls that need it are refused until it answers")

    def _probe(self) -> None:
        while not self._reaches():
            threading.Event().wait(PROBE_PAUSE_SECONDS)
        with self._changed:
            self._well_at, self._asked_at = monotonic(), None
            was_open, self.is_open = self.is_open, False
        if was_open:
            logger.warning("PostgreSQL answers again")

    def _reaches(self) -> bool:
        assert self._reach is not None
        try:
            self._reach().close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.Error as error:
            # A server that is gone or refuses tells everybody so at once.
            logger.debug("PostgreSQL answers with an error: %s", error)
        return True


def _part(of_the_deadline: float) -> float:
    return float(of_the_deadline * settings.DATABASE_HANGS_AFTER_MS / 1000)


guard = Guard()


@contextmanager
def waiting_for_postgres() -> Iterator[None]:
    """Around a lock under which PostgreSQL is asked: who waits for the lock waits for PostgreSQL.

    Raises django's OperationalError when PostgreSQL hangs.
    """
    try:
        entered = guard.enter()
    except Hangs as error:
        raise OperationalError(str(error)) from error
    try:
        yield
    finally:
        if entered:
            guard.leave()
