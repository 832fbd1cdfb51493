"""Beat's look for work: tasks that mostly find nothing to do are sent only when something waits for them.

Every task costs beat, broker, worker and PostgreSQL some 20 ms together, whatever it does; a look costs one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerUnreachable

from billing import tasks
from billing.fence import push
from billing.models import OutboxCursor, OutboxMessage, WebhookDelivery
from billing.payments.cards.configured import card_gateway
from billing.postgres.any_row import AnyRow
from billing.subscriptions.bulk import moves
from billing_site import tasks as site_tasks
from billing_site.staff_home import figures
from ratelimit.servers.single import RedisUnreachable
from usage import tasks as usage_tasks
from usage.metering.reservations import sweep
from usage.thresholds import look as thresholds

logger = logging.getLogger(__name__)
PAUSE_SECONDS: Final = 1.0
OUTAGES: Final = (DatabaseError, RedisUnreachable, BrokerUnreachable)


def _of_every_second(now: datetime) -> Iterator[QuerySet[Any]]:
    yield push.unpushed()
    yield OutboxMessage.objects.filter(position=None)
    for consumer in settings.OUTBOX_CONSUMERS:
        yield OutboxCursor.objects.due(consumer, now)
    yield WebhookDelivery.objects.due(now)


class Look(NamedTuple):
    """Each so many `seconds` the task is sent if `waits` then; one that no worker takes until the next is dropped."""

    task: Any
    seconds: int
    waits: Callable[[datetime], bool]


LOOKS: Final = (
    Look(tasks.every_second, 1, AnyRow(_of_every_second).at),
    Look(usage_tasks.expire_reservations, 5, sweep.may_be_due),
    Look(usage_tasks.look_at_thresholds, 5, lambda now: thresholds.marked(now).exists()),
    Look(tasks.move_subscribers, 10, lambda now: moves.unfinished().exists()),
    Look(tasks.sweep_provider_events, 30, lambda now: card_gateway() is not None),
    Look(site_tasks.read_staff_figures, figures.READ_EVERY_SECONDS, lambda now: figures.are_wanted()),
)


class Lookout(threading.Thread):
    """A thread of beat's, so that an engine that hangs holds up no other task. A daemon: it ends with beat."""

    def __init__(self, looks: Sequence[Look] = LOOKS) -> None:
        super().__init__(name="lookout", daemon=True)
        self._next = dict.fromkeys(looks, 0.0)
        self._well = True

    def run(self) -> None:
        while True:
            self.look(time.monotonic())
            time.sleep(PAUSE_SECONDS)

    def look(self, seconds: float) -> None:
        """Send what has work, of all whose turn it is at so many `seconds` of a steady clock."""
        due = [look for look, at in self._next.items() if at <= seconds]
        failed = False
        for look in due:
            self._next[look] = seconds + look.seconds
            try:
                if look.waits(timezone.now()):
                    look.task.apply_async(expires=look.seconds)
            except Exception as error:  # whatever it is, the other looks go on, and this one at its next turn
                failed = True
                self._tell(error)
                connection.close()
        if due and not failed and not self._well:
            logger.warning("beat looks for work again")
            self._well = True

    def _tell(self, error: Exception) -> None:
        """Once, until all is well again: an outage is not told every second."""
        if self._well:
            said = " ".join(str(error).split())
            logger.error("beat cannot look for work, or send it: %s", said, exc_info=not isinstance(error, OUTAGES))
        self._well = False
