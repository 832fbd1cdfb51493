"""A month of the usage log as a file: CSV as COPY writes and reads it, compressed, with a manifest that proves it."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from django.db import connection, transaction

from usage.log.copy_format import COLUMNS

CHUNK = 1 << 20
LARGEST_FIELD = 1 << 30
"""As long as PostgreSQL's own fields; Python's reader stops at 131,072 characters unless it is set."""


class ExportError(Exception):
    """The file could not be written, or is not what its manifest says; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written; the sum of `tokens` is signed, as the log is."""

    file: Path
    rows: int
    tokens: int
    sha256: str


def write(table: str, folder: Path) -> Export:
    """Export a partition into the folder, replacing an older export of it; it bears its name once it is whole.

    The figures are those of the file, read again from the disk. Raises ExportError.
    """
    file = folder / f"{table}.csv.gz"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _on_disk(_draft(file)) as raw:
            _copy_out(table, raw)
        export = Export(file, *_totals(_draft(file)), _sha256(_draft(file)))
        with _on_disk(_draft(_manifest(file))) as raw:
            raw.write(_manifest_text(table, export))
        for each in (file, _manifest(file)):
            _draft(each).replace(each)
        _sync(folder)
    except OSError as error:
        raise ExportError(f"cannot export to {folder}: {error}; USAGE_LOG_EXPORTS names another folder") from error
    return export


def is_whole(file: Path, sha256: str) -> bool:
    """Whether the file is there and is the one that was written."""
    try:
        return _sha256(file) == sha256
    except OSError:
        return False


def read_back(file: Path) -> tuple[str, int]:
    """Make a table of the exported rows beside the log, where nothing counts them; its name and its rows.

    Raises ExportError when the file is not what its manifest says, or the table exists.
    """
    try:
        manifest = json.loads(_manifest(file).read_text())
        table, rows, tokens = f"{manifest['table']}_restored", int(manifest["rows"]), int(manifest["tokens"])
        if _sha256(file) != manifest["sha256"]:
            raise ExportError(f"{file} is not the file that {_manifest(file)} describes")
        with transaction.atomic(), connection.cursor() as cursor, gzip.open(file) as text:
            cursor.execute("SELECT to_regclass(%s)", [table])
            if cursor.fetchone() != (None,):
                raise ExportError(f"the table {table} exists already; drop it to have it made again")
            cursor.execute(f"CREATE TABLE {_quoted(table)} (LIKE usage_usagelog INCLUDING ALL)")
            # By its own header: the columns' order is not the same in every version of this software.
            columns = ", ".join(_quoted(name) for name in next(csv.reader([text.readline().decode()])))
            with cursor.copy(f"COPY {_quoted(table)} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                while chunk := text.read(CHUNK):
                    copy.write(chunk)
            cursor.execute(f"SELECT count(*), coalesce(sum(tokens), 0) FROM {_quoted(table)}")
            if cursor.fetchone() != (rows, tokens):
                raise ExportError(f"{file} has other rows than {_manifest(file)} says")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"cannot read {file} with its manifest {_manifest(file)}: {error}") from error
    return table, rows


def _copy_out(table: str, raw: BinaryIO) -> None:
    # Row by row from the server: memory holds one chunk, however long the month is.
    with (
        gzip.GzipFile("", "wb", fileobj=raw, compresslevel=6, mtime=0) as packed,
        io.BufferedWriter(cast(io.RawIOBase, packed), CHUNK) as buffered,
        connection.cursor() as cursor,
        cursor.copy(f"COPY {_quoted(table)} ({COLUMNS}) TO STDOUT (FORMAT csv, HEADER)") as copy,
    ):
        for row in copy:
            buffered.write(row)


def _totals(file: Path) -> tuple[int, int]:
    """Rows, and the sum of their tokens."""
    csv.field_size_limit(LARGEST_FIELD)
    rows = tokens = 0
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        reader = csv.reader(text)
        at = next(reader).index("tokens")
        for row in reader:
            rows, tokens = rows + 1, tokens + int(row[at])
    return rows, tokens


def _sha256(file: Path) -> str:
    with file.open("rb") as raw:
        return hashlib.file_digest(raw, "sha256").hexdigest()


def _manifest(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(".csv.gz") + ".json")


def _manifest_text(table: str, export: Export) -> bytes:
    said = {
        "table": table,
        "file": export.file.name,
        "rows": export.rows,
        "tokens": export.tokens,
        "sha256": export.sha256,
    }
    return json.dumps(said, indent=2).encode() + b"\n"


def _draft(file: Path) -> Path:
    return file.with_name(f"{file.name}.partial")


@contextmanager
def _on_disk(file: Path) -> Iterator[BinaryIO]:
    """A new file to write, which is on the disk afterwards."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # customers' data: for its owner only
    with open(descriptor, "wb") as raw:
        yield raw
        raw.flush()
        os.fsync(raw.fileno())


def _sync(folder: Path) -> None:
    """The names in it, too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)
