"""Documents as files in a folder, each named by its number. A file that is there is never written again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path

from billing.documents.document import Document
from billing.documents.issued import NoDocument, of_credit_note, of_invoice
from billing.documents.pdf import pdf_of
from billing.models import CreditNote, Invoice


@dataclass(slots=True)
class Exported:
    written: int = 0
    there: int = 0
    """Left as they were."""
    without: list[str] = field(default_factory=list)
    """Numbers of which there is no document."""
    differing: list[str] = field(default_factory=list)
    """Numbers whose file says something else; looked for only where it was asked for."""


class Archive:
    """What was issued in [start, end), void invoices among it, and the folder it goes to."""

    def __init__(self, start: datetime, end: datetime, folder: Path) -> None:
        issued = {"issued_at__gte": start, "issued_at__lt": end}
        self._invoices = Invoice.objects.issued().filter(**issued).order_by("issued_at", "pk")
        notes = CreditNote.objects.filter(**issued).order_by("issued_at", "pk")
        self._notes = notes.select_related("invoice")
        self._folder = folder

    def count(self) -> int:
        return self._invoices.count() + self._notes.count()

    def export(self, advance: Callable[[int], None], *, compare: bool = False) -> Exported:
        """Write the files that are missing. One that was interrupted is taken up by the next run.

        `compare` makes the documents of files that are there as well, and names those that differ.
        """
        done = Exported()
        rows: Iterable[Invoice | CreditNote] = chain(self._invoices.iterator(200), self._notes.iterator(200))
        for row in rows:
            self._one(row, done, compare)
            advance(1)
        return done

    def _one(self, row: Invoice | CreditNote, done: Exported, compare: bool) -> None:
        file = self._folder / f"{row.number}.pdf"
        is_there = file.exists()
        if is_there and not compare:
            done.there += 1
            return
        try:
            content = pdf_of(_document(row))
        except NoDocument:
            done.without.append(str(row))
            return
        if not is_there:
            _write(file, content)
            done.written += 1
        elif file.read_bytes() == content:
            done.there += 1
        else:
            done.differing.append(str(row))


def _document(row: Invoice | CreditNote) -> Document:
    return of_invoice(row) if isinstance(row, Invoice) else of_credit_note(row)


def _write(file: Path, content: bytes) -> None:
    """A file has its name only once it is whole."""
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(content)
    unfinished.rename(file)
