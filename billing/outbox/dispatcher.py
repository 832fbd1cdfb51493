"""Delivering to all consumers at once, each on threads of its own, so that none waits for another."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from django.db import DatabaseError, connection
from django.utils import timezone

from billing.outbox.consumers import Consumer
from billing.outbox.delivery import Clock, Delivery
from billing.outbox.models import lease
from billing.outbox.positions import BATCH, give_positions

logger = logging.getLogger(__name__)
THREADS = 4
"""Of one consumer in one process. A call that hangs keeps its thread; the others go on with other accounts."""
BATCHES_A_TICK = 10


class Worker(threading.Thread):
    """Delivers to one consumer until nothing is due. A daemon: a call that hangs holds no process back from its end."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(name=f"outbox-{delivery.name}", daemon=True)
        self.delivery = delivery
        self.taken = 0

    def run(self) -> None:
        try:
            self.taken = self.delivery.run()
        except DatabaseError as error:
            logger.error("%s waits for PostgreSQL: %s", self.name, str(error).strip())
        finally:
            connection.close()


class Dispatcher:
    """The deliveries of one process. Any number of processes may have one at the same time."""

    def __init__(self, consumers: Mapping[str, Consumer], clock: Clock = timezone.now) -> None:
        self.clock = clock
        self.deliveries = [Delivery(name, consume, clock) for name, consume in consumers.items()]
        self.workers: list[Worker] = []
        self.taken = 0
        self._ticking = threading.Lock()

    def tick(self) -> int:
        """Give positions to new messages and see that somebody is at what is due; returns how many were new.

        Starts threads and waits for none of them. Raises DatabaseError.
        """
        if not self._ticking.acquire(blocking=False):
            return 0  # another thread of this process is at it
        try:
            found = self._give_positions()
            self._reap()
            for delivery in self.deliveries:
                working = sum(worker.delivery is delivery for worker in self.workers)
                if working < THREADS and delivery.is_due():
                    worker = Worker(delivery)
                    worker.start()
                    self.workers.append(worker)
            return found
        finally:
            self._ticking.release()

    def run_until_idle(self, patience: float) -> bool:
        """Deliver all that is due. False where that has not ended within `patience` seconds."""
        gives_up_at = time.monotonic() + patience
        while self.tick() or self.workers:
            for worker in self.workers[:]:
                worker.join(0.02)
            if time.monotonic() > gives_up_at:
                return False
        return True

    def stop(self, patience: float) -> bool:
        """Begin no further call. False where a call has not ended within `patience` seconds."""
        for delivery in self.deliveries:
            delivery.stopping.set()
        gives_up_at = time.monotonic() + patience
        for worker in self.workers:
            worker.join(max(gives_up_at - time.monotonic(), 0))
        return not any(worker.is_alive() for worker in self.workers)

    def stuck(self) -> list[str]:
        """Consumers all of whose threads are in calls that have outlasted their lease: they go on in a new process."""
        overdue = time.monotonic() - lease().total_seconds()
        return [
            delivery.name
            for delivery in self.deliveries
            if sum(began < overdue for began in list(delivery.calls.values())) >= THREADS
        ]

    def _give_positions(self) -> int:
        names = [delivery.name for delivery in self.deliveries]
        total = 0
        for _ in range(BATCHES_A_TICK):
            count = give_positions(names, self.clock())
            total += count
            if count < BATCH:
                break
        return total

    def _reap(self) -> None:
        self.taken += sum(worker.taken for worker in self.workers if not worker.is_alive())
        self.workers = [worker for worker in self.workers if worker.is_alive()]
