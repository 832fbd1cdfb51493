"""The file of a month: every row as it was, proven by its manifest, written and read in little memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from billing.rules import ids
from tests.usage.histories import charge
from usage.log import events, store
from usage.log.copy_format import COLUMNS
from usage.log.events import Event
from usage.log.months import exports

pytestmark = pytest.mark.django_db
MARCH = "usage_usagelog_2031_03"
RESTORED = f"{MARCH}_restored"
TOKENS = COLUMNS.split(", ").index("tokens")
ODD = {"text": 'a,b;"c"\nd\\t\\N é 🙂', "none": None, "deep": [{"n": 1.5}], "empty": ""}


@pytest.fixture
def written() -> list[Event]:
    first = charge(7)
    odd = Event(ids.mint(first.at_ms), events.CHARGE, 8, *window(first), 'f,"\\', 3, first.at_ms, "track", "", ODD)
    prefixed = charge(9, 999_999_999_999_999)
    all_of_them = [first, first.voided(first.at_ms + 1), odd, prefixed]
    store.store(all_of_them)
    return all_of_them


def window(event: Event) -> tuple[int, int]:
    return event.window_start, event.window_end


def rows(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {COLUMNS} FROM {table} ORDER BY id")
        return cursor.fetchall()


def drop(table: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}")


def test_what_was_exported_is_read_back_as_it_was(written: list[Event], tmp_path: Path) -> None:
    export = exports.write(MARCH, tmp_path)
    before = rows(MARCH)
    assert (
        (export.rows, export.tokens) == (len(before), sum(row[TOKENS] for row in before)) == (4, 1_000_000_000_000_002)
    )
    drop(MARCH)
    assert exports.read_back(export.file) == (RESTORED, 4)
    assert rows(RESTORED) == before
    assert rows("usage_usagelog") == [], "nothing is counted or shown again"


def test_a_file_of_another_version_is_read_back_by_its_own_columns(
    written: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(MARCH)
    monkeypatch.setattr(exports, "COLUMNS", ", ".join(reversed(COLUMNS.split(", "))))
    file = exports.write(MARCH, tmp_path).file
    monkeypatch.undo()
    exports.read_back(file)
    assert rows(RESTORED) == before


def test_anybody_can_read_it(written: list[Event], tmp_path: Path) -> None:
    file = exports.write(MARCH, tmp_path).file
    with gzip.open(file, "rt", newline="") as text:
        found = list(csv.DictReader(text))
    assert [*found[0]] == COLUMNS.split(", ")
    assert {row["id"] for row in found} == {str(event.id) for event in written}
    assert [json.loads(row["metadata"]) for row in found if row["metadata"]] == [ODD]


def test_the_manifest_says_what_is_in_it(written: list[Event], tmp_path: Path) -> None:
    export = exports.write(MARCH, tmp_path)
    assert json.loads((tmp_path / f"{MARCH}.json").read_text()) == {
        "table": MARCH,
        "file": f"{MARCH}.csv.gz",
        "rows": 4,
        "tokens": 1_000_000_000_000_002,
        "sha256": hashlib.sha256(export.file.read_bytes()).hexdigest(),
    }
    assert export.sha256 == hashlib.sha256(export.file.read_bytes()).hexdigest()


def test_only_its_owner_reads_customers_data(written: list[Event], tmp_path: Path) -> None:
    export = exports.write(MARCH, tmp_path / "new" / "folder")
    files = sorted(export.file.parent.iterdir())
    assert [file.name for file in files] == [f"{MARCH}.csv.gz", f"{MARCH}.json"], "no draft is left"
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert export.file.parent.stat().st_mode & 0o777 == 0o700


def test_an_empty_month_is_exported_too(tmp_path: Path) -> None:
    store.store([charge(7)])
    drop(MARCH)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {MARCH} (LIKE usage_usagelog)")
    export = exports.write(MARCH, tmp_path)
    assert (export.rows, export.tokens) == (0, 0)
    assert exports.read_back(export.file) == (RESTORED, 0)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-8])


def replaced(file: Path) -> None:
    file.write_bytes(gzip.compress(b"id\n1\n"))


def without_manifest(file: Path) -> None:
    file.with_name(f"{MARCH}.json").unlink()


def with_another_count(file: Path) -> None:
    manifest = file.with_name(f"{MARCH}.json")
    manifest.write_text(manifest.read_text().replace('"rows": 4', '"rows": 5'))


def with_no_manifest_at_all(file: Path) -> None:
    file.with_name(f"{MARCH}.json").write_text("[]")


@pytest.mark.parametrize(
    "damage", [cut, replaced, without_manifest, with_another_count, with_no_manifest_at_all, Path.unlink]
)
def test_a_file_that_is_not_the_one_is_not_read_back(
    written: list[Event], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    file = exports.write(MARCH, tmp_path).file
    damage(file)
    with pytest.raises(exports.ExportError):
        exports.read_back(file)
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [RESTORED])
        assert cursor.fetchone() == (None,)


def test_a_month_is_read_back_once(written: list[Event], tmp_path: Path) -> None:
    file = exports.write(MARCH, tmp_path).file
    exports.read_back(file)
    with pytest.raises(exports.ExportError, match="exists already"):
        exports.read_back(file)
    assert len(rows(RESTORED)) == len(rows(MARCH)) == 4


def test_memory_does_not_grow_with_the_month(written: list[Event], tmp_path: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {MARCH} SELECT (jsonb_populate_record(model, jsonb_build_object('id', gen_random_uuid(),"
            " 'metadata', jsonb_build_object('text', repeat(md5(number::text), 100))))).*"
            f" FROM {MARCH} AS model, generate_series(1, 3000) AS number WHERE account_id IN (7, 9)"
        )
    tracemalloc.start()
    try:
        export = exports.write(MARCH, tmp_path)
        exports.read_back(export.file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert export.rows == 9004
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT sum(length(metadata::text)) FROM {MARCH}")
        assert peak < cursor.fetchall()[0][0] / 3
