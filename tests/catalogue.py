"""The default catalogue for a test: seeded once a process, then copied in, since seeding takes a hundred statements."""

from __future__ import annotations

from copy import copy
from datetime import datetime

from django.core.management import call_command
from django.db import connection, transaction

from billing.fence.fenced import push_on_commit
from billing.fence.models import CATALOGUE
from billing.models import ModelPrice

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
_prices: list[ModelPrice] = []
"""Rows that nobody may change afterwards, so their instant is set before."""


def seed(now: datetime) -> None:
    """As `manage.py seed_catalogue` does at this instant, which may be a frozen one."""
    if not _seeded:
        call_command("seed_catalogue", verbosity=0)
        _seeded.update({table: _copied_out(table) for table in TABLES})
        _prices.extend(ModelPrice.objects.order_by("pk"))
        return
    with transaction.atomic(), connection.cursor() as cursor:
        for table, rows in _seeded.items():
            with cursor.copy(f"COPY {table} FROM STDIN") as copying:
                copying.write(rows)
        # A test of migrations may have made this table anew, and with it the sequence of its ids.
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{ANEW}', 'id'), max(id)) FROM {ANEW}")
        for table, columns in INSTANTS.items():
            cursor.execute(f"UPDATE {table} SET {', '.join(f'{column} = %(now)s' for column in columns)}", {"now": now})
        prices = [copy(price) for price in _prices]
        for price in prices:
            price.pk, price.valid_from = None, now
        ModelPrice.objects.bulk_create(prices)
        push_on_commit(CATALOGUE)


def _copied_out(table: str) -> bytes:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT") as copying:
        return b"".join(bytes(part) for part in copying)
