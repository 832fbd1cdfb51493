"""manage.py dispatch_outbox: tell consumers what has happened; waits while PostgreSQL is away."""

from __future__ import annotations

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import pluralize

from billing.management.following import IDLE_SECONDS, follow
from billing.models import OutboxCursor
from billing.outbox import consumers
from billing.outbox.dispatcher import Dispatcher
from billing.outbox.models import lease

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Deliver the outbox's messages to their consumers. Once, or with --follow until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or Ctrl-C")

    def handle(self, *args: Any, **options: Any) -> None:
        dispatcher = Dispatcher(consumers.configured())
        if options["follow"]:
            self._follow(dispatcher)
        else:
            self._once(dispatcher)

    def _once(self, dispatcher: Dispatcher) -> None:
        ended = dispatcher.run_until_idle(2 * lease().total_seconds())
        failing = OutboxCursor.objects.failing().count()
        self.stdout.write(f"{dispatcher.taken} deliver{pluralize(dispatcher.taken, 'y,ies')} made")
        if not ended:
            raise CommandError("calls of consumers have not ended; their accounts wait for another try")
        if failing:
            waits = "account waits" if failing == 1 else "accounts wait"
            raise CommandError(f"{failing} {waits} for a message that fails; see Outbox deliveries in the admin")

    def _follow(self, dispatcher: Dispatcher) -> None:
        def step() -> float:
            pause = 0.0 if dispatcher.tick() else IDLE_SECONDS
            if stuck := dispatcher.stuck():
                raise CommandError(f"all threads of {', '.join(stuck)} hang; start this command again")
            return pause

        follow(step, "the outbox", logger, (DatabaseError,))
        dispatcher.stop(lease().total_seconds())
