"""Waiting for what other threads and processes do, without guessing how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from django.db import connection

PATIENCE_SECONDS = 60


def until(happened: Callable[[], bool]) -> None:
    """Return as soon as it has happened; fail after a minute."""
    gives_up_at = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < gives_up_at, "it has not happened within a minute"
        time.sleep(0.005)


IN_THIS_DATABASE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
"""Of pg_locks: test processes side by side have databases of one server."""


def locks(condition: str, *parameters: Any, counting: str = "*") -> int:
    """How many of PostgreSQL's locks the condition is true of, in this test process' database and in no other's."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count({counting}) FROM pg_locks WHERE {IN_THIS_DATABASE} AND {condition}", parameters)
        return int(cursor.fetchone()[0])


def somebody_waits_for_a_row() -> bool:
    """For one that the present transaction has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)) AND locktype = 'transactionid')"
        )
        return bool(cursor.fetchone()[0])
