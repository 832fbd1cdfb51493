"""Writing down what happened, in the transaction of the fact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import connection
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from psycopg.types.json import Jsonb

from billing.bulk_insert import copy_rows
from billing.outbox.kinds import Happened
from billing.outbox.models import OutboxMessage


def record(kind: Happened, account: int, **ids: int | str) -> None:
    """Write one message in the caller's transaction. Raises TransactionManagementError outside of one."""
    record_all(kind, [(account, ids)])


def record_all(kind: Happened, happened: Iterable[tuple[int, Mapping[str, object]]]) -> None:
    """Write one message for each (account, ids), in this order, at the cost of one COPY. Raises as `record`."""
    if not connection.in_atomic_block:
        raise TransactionManagementError("a message is written in the transaction of its fact, and there is none")
    now = timezone.now()
    copy_rows(
        [OutboxMessage(account_id=account, kind=kind, payload=Jsonb(ids), recorded_at=now) for account, ids in happened]
    )
