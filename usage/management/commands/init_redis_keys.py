"""manage.py init_redis_keys: rebuild what Redis counts from PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from usage.reconciliation import mend
from usage.sync.rebuild import rebuild


class Command(BaseCommand):
    help = (
        "Rebuild every counter in Redis from PostgreSQL, and mend keys that somebody has overwritten. Safe while "
        "serving: nothing newer is replaced."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        shows_progress = self.stderr.isatty() and options["verbosity"] > 0

        def progress(published: int, total: int) -> None:
            if shows_progress:
                self.stderr.write(f"\r{published:,} of {total:,} counters", ending="")

        now = timezone.now()
        for key in mend.mend(now):
            self.stdout.write(f"{key}: mended")
        published = rebuild(now, progress)
        if shows_progress and published:
            self.stderr.write("")
        self.stdout.write(f"{published} counters published")
