"""manage.py export_documents: invoices and credit notes as PDF files, for the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.documents.archive import Archive
from billing.management.arguments import parsed_time
from billing.management.progress import ProgressBar

NAMED = 20


class Command(BaseCommand):
    help = (
        "Write the PDF of each invoice and credit note that was issued in a time into a folder, named by its number. "
        "Files that are there stay as they are, so what one run left undone the next one does."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--directory", required=True, help="where the files go; made if it is missing")
        parser.add_argument(
            "--from", required=True, metavar="ISO", help="issued then or later (UTC unless it names a zone)"
        )
        parser.add_argument("--to", metavar="ISO", help="issued before then; default: now")
        parser.add_argument(
            "--compare",
            action="store_true",
            help="make those anew that are there, name the files that differ, and leave them as they are",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        start = parsed_time(options["from"], "--from")
        end = timezone.now() if options["to"] is None else parsed_time(options["to"], "--to")
        if end <= start:
            raise CommandError("--to has to lie after --from")
        folder = Path(options["directory"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            archive = Archive(start, end, folder)
            bar = ProgressBar(self.stderr, archive.count(), shown=options["verbosity"] > 0)
            try:
                done = archive.export(bar.advance, compare=options["compare"])
            finally:
                bar.end()
        except OSError as error:
            raise CommandError(f"{error.filename or folder}: {error.strerror}") from error
        self.stdout.write(f"{done.written:,} files written, {done.there:,} were there")
        if done.without:
            self.stderr.write(
                f"{len(done.without):,} have no document, as there was no seller when they were issued: "
                f"{_named(done.without)}"
            )
        if done.differing:
            raise CommandError(f"{len(done.differing):,} files differ and were left: {_named(done.differing)}")


def _named(numbers: list[str]) -> str:
    more = len(numbers) - NAMED
    return ", ".join(numbers[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
