"""Rows as a CSV file that is sent while it is read: no length of a list fills the memory."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from django.http import StreamingHttpResponse

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets run begins with one of these."""
AT_ONCE: Final = 500


class _Echo:
    """What `csv.writer` writes to: it gives back the line."""

    def write(self, line: str) -> str:
        return line


def cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """As text, many rows at a time."""
    writer, some = csv.writer(_Echo()), list[str]()
    for row in rows:
        some.append(writer.writerow([cell(value) for value in row]))
        if len(some) == AT_ONCE:
            yield "".join(some)
            some.clear()
    yield "".join(some)


def csv_file(name: str, rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """A download of that name, which is plain ASCII; the first row is the heading."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return StreamingHttpResponse(lines(rows), content_type="text/csv; charset=utf-8", headers=headers)
