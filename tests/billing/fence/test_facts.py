"""docs/architecture.md, "What makes facts stale": each table and column that the database's triggers watch."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from billing.users import User

PAGE = (Path(settings.BASE_DIR) / "docs" / "architecture.md").read_text()
TRIGGERS = "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'fence%'"


def told() -> dict[str, set[str]]:
    """Of each table of the page its columns; no columns where every edit counts."""
    section = PAGE.partition("## What makes facts stale\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.*) \| (.*) \|$", section, re.M)[1:]  # without the heading
    users = f"`{User._meta.db_table}`"
    return {
        table: set(re.findall(r"`(\w+)`", edits))
        for tables, edits in rows
        for table in re.findall(r"`(\w+)`", tables.replace("the users' table", users))
    }


@pytest.mark.django_db
def test_it_tells_what_the_triggers_watch() -> None:
    watched = defaultdict[str, set[str]](set)
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)
        for table, definition in cursor.fetchall():
            listed = re.search(r"UPDATE OF ([\w, ]+) ON ", definition)
            columns = re.findall(r"\bold\.(\w+)", definition) + (listed[1].split(", ") if listed else [])
            watched[table].update(columns)
    assert told() == watched
