"""Whether the database has the tables that this code was written for."""

from __future__ import annotations

from functools import cache

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


def missing_migrations() -> list[str]:
    """Migrations of this code that the database has not seen, such as "billing.0001_initial". Raises DatabaseError.

    A database that is ahead of the code lacks nothing: the older processes go on while a deployment replaces them.
    """
    applied = MigrationRecorder(connection).applied_migrations()
    return sorted(f"{app}.{name}" for app, name in _of_this_code() - applied.keys())


@cache
def _of_this_code() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations)
