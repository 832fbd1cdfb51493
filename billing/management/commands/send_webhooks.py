"""manage.py send_webhooks: send the webhooks that are due; waits while PostgreSQL is away."""

from __future__ import annotations

import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.template.defaultfilters import pluralize
from django.utils import timezone

from billing.management.following import IDLE_SECONDS, follow
from billing.models import WebhookEndpoint
from billing.models.webhooks.deliveries import LEASE
from billing.webhooks.sender import Sender

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Send the webhooks that are due. Once, or with --follow until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--follow", action="store_true", help="go on until SIGTERM or Ctrl-C")

    def handle(self, *args: Any, **options: Any) -> None:
        sender = Sender(timezone.now)
        if options["follow"]:
            self._follow(sender)
        else:
            self._once(sender)

    def _once(self, sender: Sender) -> None:
        ended = sender.run_until_idle(2 * LEASE.total_seconds())
        failing = WebhookEndpoint.objects.filter(state="enabled", failing_since__isnull=False).count()
        self.stdout.write(f"{sender.sent} tr{pluralize(sender.sent, 'y,ies')} made")
        if not ended:
            raise CommandError("tries have not ended; they are made again later")
        if failing:
            fails = "endpoint fails" if failing == 1 else "endpoints fail"
            self.stdout.write(f"{failing} {fails}; see Webhook deliveries in the admin")

    def _follow(self, sender: Sender) -> None:
        def step() -> float:
            sender.tick()
            return IDLE_SECONDS

        follow(step, "the sender of webhooks", logger, (DatabaseError,))
        sender.stop(LEASE.total_seconds())
