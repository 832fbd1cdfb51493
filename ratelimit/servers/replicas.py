"""WAIT behind a script: the answer goes out when enough replicas hold the charge, or when they take too long."""

from __future__ import annotations

import logging
import threading

from prometheus_client import Counter

from ratelimit.servers.wire import pack

logger = logging.getLogger(__name__)
unreplicated = Counter(
    "metered_unreplicated_scripts", "Scripts answered before REDIS_WAIT_REPLICAS replicas had confirmed them."
)


class Replicas:
    """How many replicas are waited for, how long, and whether enough of them have answered of late.

    Too few change no decision: the charge stands, exactly as without WAIT, and would be lost with this one server.
    """

    def __init__(self, count: int, wait_ms: int) -> None:
        self.count = count
        self.command = pack(b"WAIT", count, wait_ms)
        self.enough = True
        self._lock = threading.Lock()

    def confirmed(self, count: int) -> None:
        """Note what WAIT answered: 0 also when its answer was lost."""
        if count < self.count:
            unreplicated.inc()
        if (count >= self.count) is self.enough:
            return
        with self._lock:
            if (count >= self.count) is self.enough:
                return
            self.enough = not self.enough
        if self.enough:
            logger.warning("replicas confirm in time again: a failover loses no charge")
        else:
            logger.error(
                "%d of %d replicas confirmed in time: charges stand, and a failover now may lose the last of them",
                count,
                self.count,
            )
