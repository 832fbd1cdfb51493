"""A circuit breaker around a Redis: once it has failed nobody waits for it again until a probe has found it well."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from ratelimit import process_state

logger = logging.getLogger(__name__)


class Breaker:
    """Closed: Redis is asked. Open: it is not, and one thread of this process probes it until it may be closed.

    `recover` runs before it closes, so that nothing is judged by a Redis that does not know what happened meanwhile,
    and once more after it, for calls that had found it open a moment before. Both callables raise when Redis is not
    well yet. With `every_seconds` 0 nobody probes; whoever opened it has to. `name` is for the log.
    """

    def __init__(
        self, probe: Callable[[], None], recover: Callable[[], None], every_seconds: float, name: str = "Redis"
    ) -> None:
        self._name = name
        # The thread that would close it is not copied when the process forks.
        self.is_open = process_state.remember(self, "is_open", lambda: False)
        self._probe = probe
        self._recover = recover
        self._every_seconds = every_seconds
        self._lock = process_state.remember(self, "_lock", threading.Lock)
        self._attempting = process_state.remember(self, "_attempting", threading.Lock)

    def trip(self, reason: Exception) -> None:
        """Open it. Only the first of many that find Redis gone says so."""
        with self._lock:
            if self.is_open:
                return
            self.is_open = True
        logger.error("%s is out of reach, calls are decided without it: %s", self._name, reason)
        if self._every_seconds:
            threading.Thread(target=self._watch, name="redis-probe", daemon=True).start()

    def attempt(self, wait_seconds: float = 0) -> bool:
        """Probe, recover and close; whether it is closed now.

        One thread at a time: others wait so long for it, and then get the state that there is.
        """
        if not self._attempting.acquire(timeout=wait_seconds):
            return not self.is_open
        try:
            if not self.is_open:
                return True
            self._probe()
            self._recover()
            self.is_open = False
            self._recover()
        except Exception as reason:
            logger.debug("%s is not well yet: %s", self._name, reason)
            self.is_open = True
            return False
        else:
            logger.warning("%s is back, calls are decided by it again", self._name)
            return True
        finally:
            self._attempting.release()

    def _watch(self) -> None:
        # Jittered, so that the processes that lost Redis together do not come back as one herd.
        pause = threading.Event()
        while self.is_open:
            pause.wait(self._every_seconds * random.uniform(0.5, 1.5))
            if self.attempt():
                return
