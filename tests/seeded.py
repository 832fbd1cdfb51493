"""The default catalogue in a tenth of the time: seeded once a process, copied back as it was for each later test."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction

from billing.models.fences import CATALOGUE, push_on_commit

TABLES = ("capability", "plan", "feature", "route")
_rows: dict[str, bytes] = {}


@pytest.fixture
def catalogue(db: None) -> None:
    """The default plans, features and routes."""
    if _rows:
        _restore()
    else:
        call_command("seed_catalogue", verbosity=0)
        _remember()


def _remember() -> None:
    """Rows of the catalogue and its history; what they were given as ids stays theirs, no sequence goes back."""
    models = apps.get_app_config("billing").get_models(include_auto_created=True)
    names = [model._meta.db_table for model in models]
    with connection.cursor() as cursor:
        for name in names:
            if name.removeprefix("billing_").removeprefix("historical").startswith(TABLES):
                with cursor.copy(f"COPY {name} TO STDOUT") as copy:  # type: ignore[attr-defined]
                    _rows[name] = b"".join(bytes(part) for part in copy)


def _restore() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for name, rows in _rows.items():
            with cursor.copy(f"COPY {name} FROM STDIN") as copy:  # type: ignore[attr-defined]
                copy.write(rows)
        push_on_commit(CATALOGUE)
