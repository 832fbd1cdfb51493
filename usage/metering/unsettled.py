"""Charges that PostgreSQL has to be told of, when neither engine answered at the end of their call: tried until it is.

They are in this process' memory and end with it, and the log names each; a third store for them would have to be kept
as safe as the two engines.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from prometheus_client import Counter

from ratelimit import process_state

logger = logging.getLogger(__name__)
NO_DATABASE = (OperationalError, InterfaceError)
MOST = 10_000
unsettled_charges = Counter("gateway_unsettled_charges", "Charges whose end neither engine could be told at once.")
_waiting: deque[tuple[str, Callable[[], object]]] = process_state.remember(__name__, "_waiting", deque)
_settling = process_state.remember(__name__, "_settling", threading.Lock)


def settle_later(charge: str, work: Callable[[], object]) -> None:
    """Have this done as soon as PostgreSQL answers; it is done once, or again when its outcome is not known."""
    unsettled_charges.inc()
    if len(_waiting) >= MOST:
        logger.error("charge %s stands: too many wait for PostgreSQL", charge)
        return
    logger.warning("charge %s is settled when PostgreSQL is back", charge)
    _waiting.append((charge, work))
    if settings.REDIS_PROBE_MS:
        threading.Thread(target=_settle_all, name="settling", daemon=True).start()


def settle() -> bool:
    """Do what can be done now. False as long as PostgreSQL does not answer."""
    while _waiting:
        charge, work = _waiting.popleft()
        try:
            work()
        except NO_DATABASE:
            _waiting.appendleft((charge, work))
            return False
        except Exception:
            logger.exception("charge %s stands", charge)
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
