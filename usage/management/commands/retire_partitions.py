"""manage.py retire_partitions: export old months of the log, and take them out of it."""

from __future__ import annotations

from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from usage.log.months import retention


class Command(BaseCommand):
    help = (
        "Export the usage log's months that are older than USAGE_LOG_MONTHS to USAGE_LOG_EXPORTS, and detach them."
        " Safe while serving, at any time, and after it was killed: it goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--drop",
            action=BooleanOptionalAction,
            default=settings.USAGE_LOG_DROP,
            help="drop the detached tables, those of earlier runs too, once their exports are proven;"
            " without it they stay beside the log (default: USAGE_LOG_DROP)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now, drop = timezone.now(), options["drop"]
        if options["dry_run"]:
            months = retention.due(now, drop=drop)
            for each in months:
                self.stdout.write(f"{each}{', then drop' if drop else ''}")
            self.stdout.write(f"{len(months)} months would be retired")
            return
        try:
            retired = retention.retire(now, self.stdout.write, drop=drop)
        except (retention.AnotherRun, retention.CannotRetire) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{retired} months retired")
