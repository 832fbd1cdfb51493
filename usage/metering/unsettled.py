"""Charges that PostgreSQL has to be told of, when neither engine answered at the end of their call: tried until it is.

They are in this process' memory and end with it. The log names each, when it comes in and when the process ends, with
the command that takes it back; a third store for them would have to be kept as safe as the two engines. A request that
was repeated meanwhile under its Idempotency-Key keeps its charge: somebody was served for it.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from prometheus_client import Counter

from ratelimit import process_state
from usage.log.events import Event
from usage.metering import kept_answers

logger = logging.getLogger(__name__)
NO_DATABASE = (OperationalError, InterfaceError)
MOST = 10_000
LAST_SECONDS = 2.0
"""For PostgreSQL to answer when the process ends: servers that end processes kill those that take long."""
unsettled_charges = Counter("metered_unsettled_charges", "Charges whose end neither engine could be told at once.")
_waiting: deque[tuple[Event, Callable[[], object]]] = process_state.remember(__name__, "_waiting", deque)
_settling = process_state.remember(__name__, "_settling", threading.Lock)


def settle_later(event: Event, work: Callable[[], object]) -> None:
    """Have this done as soon as PostgreSQL answers; it is done once, or again when its outcome is not known."""
    unsettled_charges.inc()
    if len(_waiting) >= MOST:
        _tell_that_it_stands(event, "too many wait for PostgreSQL")
        return
    logger.warning("%s is taken back when PostgreSQL answers, if this process lives then", _named(event))
    _waiting.append((event, work))
    if settings.REDIS_PROBE_MS:
        threading.Thread(target=_settle_all, name="settling", daemon=True).start()


def settle() -> bool:
    """Do what can be done now. False as long as PostgreSQL does not answer."""
    waiting = _waiting
    while waiting:
        first = event, work = waiting[0]
        try:
            if kept_answers.free_key(event):
                work()
        except NO_DATABASE:
            return False
        except Exception:
            logger.exception("%s stands", _named(event))
        if waiting and waiting[0] is first:  # or else another thread was at it, too
            waiting.popleft()
    return True


def _settle_all() -> None:
    # Looked at once more after it is let go: what came in meanwhile has found it taken.
    while _waiting and _settling.acquire(blocking=False):
        try:
            pause = threading.Event()
            while not settle():
                connection.close()
                pause.wait(settings.REDIS_PROBE_MS / 1000)
        finally:
            _settling.release()
            connection.close()


@atexit.register
def tell_what_stands() -> None:
    """At the end of the process: name each charge that could not be taken back, after a last wait."""
    if _waiting and _settling.acquire(timeout=LAST_SECONDS):
        _settling.release()
    for event, _ in list(_waiting):
        _tell_that_it_stands(event, "this process ended before PostgreSQL answered")


def _tell_that_it_stands(event: Event, why: str) -> None:
    logger.error("%s stands: %s; take it back by: manage.py settle_charges %s", _named(event), why, event.charge)


def _named(event: Event) -> str:
    return f"charge {event.charge} of account {event.account}, {event.tokens} tokens,"
