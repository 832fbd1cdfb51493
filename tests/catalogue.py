"""The default catalogue for a test: seeded once a process, then copied in, since seeding takes a hundred statements."""

from __future__ import annotations

from datetime import datetime

from django.core.management import call_command
from django.db import connection, transaction

from billing.fence.fenced import push_on_commit
from billing.fence.models import CATALOGUE

TABLES = (
    "billing_capability",
    "billing_plan",
    "billing_noticethreshold",
    "billing_plan_capabilities",
    "billing_feature",
    "billing_route",
    "billing_historicalplan",
    "billing_historicalplan_capabilities",
    "billing_historicalfeature",
    "billing_historicalroute",
)
ANEW = "billing_noticethreshold"
INSTANTS = {
    "billing_plan": ("created_at", "priced_at"),
    "billing_feature": ("created_at",),
    "billing_historicalplan": ("created_at", "priced_at", "history_date"),
    "billing_historicalfeature": ("created_at", "history_date"),
    "billing_historicalroute": ("history_date",),
}
_seeded: dict[str, bytes] = {}


def seed(now: datetime) -> None:
    """As `manage.py seed_catalogue` does at this instant, which may be a frozen one."""
    if not _seeded:
        call_command("seed_catalogue", verbosity=0)
        _seeded.update({table: _copied_out(table) for table in TABLES})
        return
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rows in _seeded.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows)
        # A test of migrations may have made this table anew, and with it the sequence of its ids.
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{ANEW}', 'id'), max(id)) FROM {ANEW}")
        for table, columns in INSTANTS.items():
            cursor.execute(f"UPDATE {table} SET {', '.join(f'{column} = %(now)s' for column in columns)}", {"now": now})
        push_on_commit(CATALOGUE)


def _copied_out(table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(bytes(part) for part in copy)
