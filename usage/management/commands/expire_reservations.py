"""manage.py expire_reservations: finish reservations that nobody has finished in time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from usage.metering.reservations import sweep


class Command(BaseCommand):
    help = "Finish reservations that nobody has settled in time, by their last heartbeat; beat does it every 5 seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        # Raises RedisUnreachable where the sweep leaves all to the next time: "none was due" would be a guess.
        expired = sweep.expire_due(now) if sweep.may_be_due(now) else 0
        self.stdout.write(f"{expired} expired" if expired else "none was due")
