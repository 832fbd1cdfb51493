"""manage.py restore_partition: make an exported month of the log readable again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from usage.log.months import exports


class Command(BaseCommand):
    help = "Make a table beside the usage log from an exported month, to be read with SQL. Nothing is counted again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="an export (.csv.gz) with its manifest (.json) beside it")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            table, rows = exports.read_back(options["file"])
        except exports.ExportError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{rows:,} rows in the table {table}; drop it when you have read it")
