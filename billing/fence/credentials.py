"""A user who is deactivated, and a key that is revoked, by whatever statement of Django's, are told to Redis on commit.

`save()` of our own rows pushes by itself. But users are Django's, and `update()` and `delete()` of a queryset, as they
are typed in a shell, call no `save()` and would wait for the sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

KEYS = "billing_apikey"


def watch_connections() -> None:
    connection_created.connect(_watch, dispatch_uid="billing.fence.credentials")


def _watch(connection: BaseDatabaseWrapper, **_: Any) -> None:
    if _push_afterwards not in connection.execute_wrappers:
        connection.execute_wrappers.append(_push_afterwards)


def _push_afterwards(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    result = execute(sql, params, many, context)
    if isinstance(sql, str) and _takes_away(sql):
        from billing.fence.push import sweep

        transaction.on_commit(sweep, using=context["connection"].alias, robust=True)
    return result


def _takes_away(sql: str) -> bool:
    users = get_user_model()._meta.db_table
    return (
        (sql.startswith(f'UPDATE "{users}" ') and '"is_active"' in sql)
        or (sql.startswith(f'UPDATE "{KEYS}" ') and '"revoked"' in sql)
        or sql.startswith((f'DELETE FROM "{users}" ', f'DELETE FROM "{KEYS}" '))
    )
