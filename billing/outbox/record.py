"""Writing down what happened, in the transaction of the fact."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from django.db import connection
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from billing.outbox.actor import present
from billing.outbox.kinds import Happened
from billing.postgres.clock import check_clock

COPY = "COPY billing_outboxmessage (account_id, kind, payload, recorded_at, actor) FROM STDIN"


def record(kind: Happened, account: int, **ids: int | str) -> None:
    """Write one message in the caller's transaction.

    Raises TransactionManagementError outside of one, and ClockSkewed where this process' clock dates no fact.
    """
    record_all(kind, [(account, ids)])


def record_all(kind: Happened, happened: Iterable[tuple[int, Mapping[str, object]]]) -> None:
    """Write one message for each (account, ids), in this order, at the cost of one COPY. Raises as `record`."""
    if not connection.in_atomic_block:
        raise TransactionManagementError("a message is written in the transaction of its fact, and there is none")
    now, actor = timezone.now().isoformat(), present()
    # Rows as text: the renewal writes thousands a second, and a model instance costs more than its row.
    rows = "".join(f"{account}\t{kind}\t{_escaped(ids)}\t{now}\t{actor}\n" for account, ids in happened)
    if rows:
        check_clock()
        with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write(rows)


def _escaped(ids: Mapping[str, object]) -> str:
    """JSON as COPY reads it: in ASCII, which json writes, only the backslash means something to COPY."""
    return json.dumps(ids).replace("\\", "\\\\")
