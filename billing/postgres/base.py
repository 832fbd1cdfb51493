"""The database backend: Django's own, on connections that are watched. Settings name it as `billing.postgres`."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any, Final, TypeVar, cast

import psycopg
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from psycopg.abc import Buffer
from psycopg.pq import TransactionStatus
from psycopg.types.datetime import TimestamptzLoader

from billing.postgres.guard import Hangs, guard

T = TypeVar("T")
PLANNED: Final = "planned"
"""In the place of a cursor's name: one whose statements are planned once a connection."""
PLANNED_AFTER: Final = 5
"""So often a connection runs such a statement first; psycopg's own default."""


class Connection(psycopg.Connection[Any]):
    """Waits for PostgreSQL as long as the guard allows, and holds one of its places while it is in a transaction."""

    _holds_place = False

    @classmethod
    def connect(cls, *args: Any, **params: Any) -> Any:
        guard.reach_by(lambda: psycopg.Connection.connect(*args, **params))
        entered = guard.enter()
        try:
            return super().connect(*args, **params)
        finally:
            if entered:
                guard.leave()

    @classmethod
    def _connect_gen(cls, *args: Any, **params: Any) -> Any:
        # The timeout of psycopg's connect() is two seconds at least.
        return guard.watched(super()._connect_gen(*args, **params))

    def wait(self, gen: Generator[Any, Any, T], interval: float = 0.1, timeout: float | None = None) -> T:
        self._holds_place = guard.enter() or self._holds_place
        try:
            return super().wait(guard.watched(gen), interval, timeout)
        except Hangs:
            self.pgconn.finish()  # its late answer would be taken for that of the next statement
            raise
        finally:
            if self.pgconn.transaction_status in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
                self._leave()

    def close(self) -> None:
        super().close()
        self._leave()

    def _leave(self) -> None:
        if self._holds_place:
            self._holds_place = False
            guard.leave()


class UtcLoader(TimestamptzLoader):
    """Reads an instant as Django's own loader does, at a sixth of its cost: a month's close reads seven for each
    subscription. What Python cannot read at once, such as `infinity`, is left to psycopg."""

    timezone = UTC  # Django compares it with the time zone of its settings before it uses this loader

    def load(self, data: Buffer) -> datetime:
        try:
            return datetime.fromisoformat(str(data, "ascii"))
        except ValueError:
            return super().load(data).replace(tzinfo=UTC)


class DatabaseWrapper(base.DatabaseWrapper):
    Database = cast(ModuleType, SimpleNamespace(**vars(psycopg) | {"connect": Connection.connect}))

    def get_connection_params(self) -> dict[str, Any]:
        """Django turns prepared statements off, for poolers; OPTIONS of the settings may do so as well."""
        return super().get_connection_params() | (
            {} if "prepare_threshold" in self.settings_dict["OPTIONS"] else {"prepare_threshold": PLANNED_AFTER}
        )

    def create_cursor(self, name: str | None = None) -> Any:
        if name is not PLANNED:
            return super().create_cursor(name)
        binds_there: Any = base.ServerBindingCursor
        return binds_there(self.connection)

    def planned_cursor(self) -> CursorWrapper:
        """See `billing.postgres.planned`. It comes the way of all cursors, past health checks and with the wrappers."""
        cursor: CursorWrapper = self._cursor(PLANNED)  # type: ignore[attr-defined]
        return cursor

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        connection.adapters.register_loader("timestamptz", UtcLoader)
        return connection
