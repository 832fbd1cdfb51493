"""manage.py expire_reservations: finish reservations that nobody has finished in time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from usage.metering.reservations import sweep


class Command(BaseCommand):
    help = "Finish reservations that nobody has settled in time, by their last heartbeat; beat does it every 5 seconds."

    def handle(self, *args: Any, **options: Any) -> None:
        expired = sweep.expire_due(timezone.now())
        self.stdout.write(f"{expired} expired" if expired else "none was due")
