"""Sending on threads, so that a receiver that is slow holds up nobody but itself.

A place is held for as long as an answer takes. So an endpoint gets a few places, and those that have not shown that
they answer quickly share one half of them: the other half is left to those that have. After a start nobody has. So
those of one account get only a part of all places, and of that half.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Final

from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from billing.bounded_cache import BoundedCache
from billing.models import WebhookDelivery
from billing.models.webhooks.deliveries import WebhookDeliveryQuerySet
from billing.webhooks import attempt

logger = logging.getLogger(__name__)
PLACES: Final = 16
"""Tries that one process makes at once."""
OF_A_QUICK_ONE: Final = 4
OF_ANOTHER: Final = 2
OF_AN_ACCOUNT: Final = PLACES // 2
"""Also where all its endpoints are quick: they may begin to hang together. The operator counts as an account."""
OF_AN_ACCOUNTS_OTHERS: Final = 3
FOR_ALL_OTHERS: Final = PLACES // 2
QUICK_SECONDS: Final = 2.0


class Sender:
    """The senders of one process. Any number of processes may have one at the same time."""

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self.clock = clock
        self.stopping = threading.Event()
        self.sent = 0
        self._ticking = threading.Lock()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._running: Counter[tuple[int | None, int]] = Counter()
        """Tries that go on, by account and endpoint."""
        self._quick: BoundedCache[int, bool] = BoundedCache(10_000)
        """Endpoints, and whether the last answer came within QUICK_SECONDS."""

    def tick(self) -> None:
        """See that somebody is at what is due. Starts threads and waits for none of them. Raises DatabaseError."""
        if not self._ticking.acquire(blocking=False):
            return  # another thread of this process is at it
        try:
            self._start()
        finally:
            self._ticking.release()

    def _start(self) -> None:
        """The caller holds `_ticking`: two at once would fill the same places twice."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        room = PLACES - len(self._threads)
        if room <= 0 or self.stopping.is_set():
            return
        with self._lock:
            due = list(self._free().due(self.clock()).values_list("pk")[:room])
        for _ in due:
            # A daemon: a try that hangs holds no process back from its end.
            thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
            thread.start()
            self._threads.append(thread)

    def run_until_idle(self, patience: float) -> bool:
        """Send all that is due. False where that has not ended within `patience` seconds."""
        gives_up_at = time.monotonic() + patience
        self.tick()
        while self._threads:
            for thread in self._threads:
                thread.join(0.02)
            if time.monotonic() > gives_up_at:
                return False
            self.tick()
        return True

    def stop(self, patience: float) -> bool:
        """Begin no further try. False where one has not ended within `patience` seconds."""
        self.stopping.set()
        gives_up_at = time.monotonic() + patience
        for thread in self._threads:
            thread.join(max(gives_up_at - time.monotonic(), 0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        try:
            while not self.stopping.is_set() and (claimed := self._claim()) is not None:
                self._try(claimed)
        except DatabaseError as error:
            logger.error("webhooks wait for PostgreSQL: %s", str(error).strip())
        finally:
            connection.close()

    def _claim(self) -> WebhookDelivery | None:
        with self._lock:
            claimed = self._free().claim(self.clock())
            if claimed is not None:
                self._running[_whose(claimed)] += 1
        return claimed

    def _free(self) -> WebhookDeliveryQuerySet:
        """Deliveries to endpoints that have a place left. The caller holds the lock."""
        by_account: Counter[int | None] = Counter()
        others: Counter[int | None] = Counter()
        for (account, endpoint), count in self._running.items():
            by_account[account] += count
            if not self._quick.get(endpoint):
                others[account] += count
        full = [endpoint for (_, endpoint), count in self._running.items() if count >= self._most(endpoint)]
        rows: WebhookDeliveryQuerySet = WebhookDelivery.objects.exclude(endpoint__in=full)
        quick = Q(endpoint__in=[endpoint for endpoint, is_quick in self._quick.items() if is_quick])
        if others.total() >= FOR_ALL_OTHERS:
            rows = rows.filter(quick)
        for account, count in by_account.items():
            if count >= OF_AN_ACCOUNT:
                rows = rows.exclude(endpoint__account=account)
            elif others[account] >= OF_AN_ACCOUNTS_OTHERS:
                rows = rows.filter(quick | ~Q(endpoint__account=account))
        return rows

    def _most(self, endpoint: int) -> int:
        return OF_A_QUICK_ONE if self._quick.get(endpoint) else OF_ANOTHER

    def _try(self, delivery: WebhookDelivery) -> None:
        began = time.monotonic()
        connection.close()  # else each place would keep one while its receiver hangs
        try:
            answer = attempt.send(delivery, self.clock())
            if not attempt.note(delivery, answer, self.clock()):
                logger.warning("the try of webhook delivery %s took longer than its lease", delivery.pk)
            self.sent += 1
        finally:
            with self._lock:
                self._running[_whose(delivery)] -= 1
                self._running += Counter()  # drops what is 0
                self._quick.remember(delivery.endpoint_id, time.monotonic() - began <= QUICK_SECONDS)


def _whose(delivery: WebhookDelivery) -> tuple[int | None, int]:
    return delivery.endpoint.account_id, delivery.endpoint_id
