"""manage.py make_partitions: make the usage log's partitions ahead of time."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from usage.log.months import partitions


class Command(BaseCommand):
    help = "Make the usage log's partitions of this month and the next USAGE_LOG_MONTHS_AHEAD where they are missing."

    def handle(self, *args: Any, **options: Any) -> None:
        made = partitions.ensure_ahead(timezone.now())
        self.stdout.write(f"made {', '.join(made)}" if made else "every partition is there")
