"""Calling one consumer with what waits for it: account by account, each account's messages in order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from billing.outbox.consumers import Consumer
from billing.outbox.models import OutboxCursor

logger = logging.getLogger(__name__)
TURN = 100
"""Messages of one account before another account has its turn."""
Clock = Callable[[], datetime]


class Delivery:
    """One consumer in one process; several threads may `run` it at once, each at another account."""

    def __init__(self, name: str, consume: Consumer, clock: Clock) -> None:
        self.name = name
        self.consume = consume
        self.clock = clock
        self.stopping = threading.Event()
        self.calls: dict[int, float] = {}
        """By account, when the call that goes on began; time.monotonic()."""

    @property
    def busy(self) -> list[int]:
        """Accounts that this process is at: not claimed again here even when their lease has run out."""
        return list(self.calls)

    def is_due(self) -> bool:
        return OutboxCursor.objects.due(self.name, self.clock()).exclude(account__in=self.busy).exists()

    def run(self) -> int:
        """Deliver what is due until nothing is; returns how many messages the consumer took."""
        taken = 0
        while not self.stopping.is_set():
            cursor = OutboxCursor.objects.claim(self.name, self.clock(), self.busy)
            if cursor is None:
                break
            try:
                taken += self._turn(cursor)
            finally:
                self.calls.pop(cursor.account_id, None)
        return taken

    def _turn(self, cursor: OutboxCursor) -> int:
        """Deliver a claimed account's messages, up to TURN of them; the first that fails ends it."""
        messages = list(cursor.waiting[:TURN])
        if not messages:  # purged while the consumer was not among the configured ones
            cursor.advance(cursor.latest, self.clock(), goes_on=False)
        for taken, message in enumerate(messages):
            self.calls[cursor.account_id] = time.monotonic()
            try:
                self.consume(message)
            except Exception as error:  # whatever a consumer raises, its message waits and all others go on
                logger.exception("%s failed on message %s, try %s", self.name, message.pk, cursor.attempts)
                cursor.fail(f"{type(error).__name__}: {error}", self.clock())
                return taken
            goes_on = message is not messages[-1] and not self.stopping.is_set()
            assert message.position is not None
            if not cursor.advance(message.position, self.clock(), goes_on=goes_on):
                logger.warning("%s took longer than its lease over message %s", self.name, message.pk)
                return taken + 1
            if not goes_on:
                return taken + 1
        return len(messages)
