"""What usage holds of a person: what customers wrote into the log, kept requests and answers, reasons of resets.

The log's numbers stay, so every sum agrees as before. A trigger lets the metadata of an account's rows be emptied, and
nothing else, while an erasure of that account is not finished: that row says who asked for it.
"""

from __future__ import annotations

import json
from typing import Any

from django.db import connection
from django.utils import timezone
from redis.exceptions import ResponseError

from billing.erasure import columns
from billing.erasure.columns import NAMELESS, OWNER, Columns
from billing.erasure.deletion import NotDeletable
from billing.erasure.erase import ErasureWaits
from billing.users import User
from ratelimit.keys import AccountKeys, shard_of, stream
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client, reaching_redis
from usage.drain import drain
from usage.log.months import partitions
from usage.metering.reservations.finishing import release_all
from usage.models import SetAsideEntry, UsageLog, UsageReset, WindowUsage

EMPTIED = {
    "usage.UsageReset": Columns(OWNER, {"reason": NAMELESS}),
    "usage.Reservation": Columns(OWNER, {"run": ""}),
}
DELETED = {"usage.IdempotencyRecord": "account_id", "usage.ReceivedEvent": "account_id"}
BY_THEMSELVES = {
    "usage.UsageLog": "metadata, by the trigger's leave",
    "usage.SetAsideEntry": "metadata within the payload, where it can be told whose it is",
}
KEPT = {
    "usage.UsageReset": "who did it: staff; of somebody who is erased, that name is replaced",
    "usage.FeatureUsage": "codes of features, and numbers",
    "usage.DailyUsage": "codes of features, and numbers",
    "usage.RefusedCalls": "codes of features and reasons, and numbers",
    "usage.ThresholdCrossed": "codes and numbers",
    "usage.Reservation": "codes of features and models, units, and numbers",
    "usage.RetiredMonth": "the name of an export's file",
}
AT_ONCE = 10_000
METADATA_AT = 11
"""Of an event's text, which is a list."""
ACCOUNT_AT = 3
# Months that were detached, and those that were read back from an export, lie beside the log.
TABLES = """
SELECT child.relname FROM pg_class log JOIN pg_class child ON child.relnamespace = log.relnamespace
WHERE log.oid = %s::regclass AND child.relkind = 'r'
    AND child.relname ~ ('^' || %s || '_[0-9]{4}_[0-9]{2}(_restored)?$')
ORDER BY child.relname
"""


def held(account: int) -> dict[str, int]:
    """See billing.erasure.erasers. Of the log, the rows in which the customer wrote something."""
    rows = UsageLog.objects.filter(account=account, metadata__isnull=False).count()
    return columns.held(account, EMPTIED, DELETED) | ({"usage log entries with metadata": rows} if rows else {})


def erase(account: int, username: str) -> None:
    """See billing.erasure.erasers. Needs Redis: what waits there belongs into the log first."""
    try:
        drain.catch_up_by_redis(account)
        release_all(account, timezone.now())
        drain.catch_up_by_redis(account)
        _delete_records(account)
    except drain.Behind as error:
        raise ErasureWaits(why=str(error)) from error
    except (RedisUnreachable, ResponseError) as error:
        raise ErasureWaits(why=f"Redis does not answer: {error}") from error
    columns.empty(account, EMPTIED, DELETED)
    UsageReset.objects.filter(reset_by=username).update(reset_by=f"{NAMELESS}-{account}")
    _empty_set_aside(account)
    _empty_log(account)


def check_deletable(account: int) -> None:
    """See billing.erasure.erasers: whoever has made a call is kept."""
    name = str(User.objects.get(pk=account))
    called = WindowUsage.objects.filter(account_id=account).exists()
    try:
        called = called or _waits_in_redis(account)
    except (RedisUnreachable, ResponseError) as error:
        raise NotDeletable("calls_unknown", account=name, why=str(error)) from error
    if called or UsageLog.objects.filter(account=account).exists():
        raise NotDeletable("has_called", account=name)


def _delete_records(account: int) -> None:
    """Kept answers, what was sent under Idempotency-Keys, and what reservations were asked for: all is over."""
    keys = AccountKeys(account)
    with reaching_redis():
        for pattern in (keys.record("*"), keys.reservation("*")):
            for key in client().scan_iter(match=pattern, count=1_000):
                client().unlink(key)


def _waits_in_redis(account: int) -> bool:
    redis: Any = client()
    first = b"-"
    with reaching_redis():
        while entries := redis.xrange(stream(shard_of(account)), first, "+", AT_ONCE):
            if any(_account_of(fields.get(b"e", b"")) == account for _, fields in entries):
                return True
            first = b"(" + entries[-1][0]
    return False


def _empty_set_aside(account: int) -> None:
    """What cannot be counted may be read all the same: a list with the account in its place."""
    for entry in SetAsideEntry.objects.iterator():
        payload = bytes(entry.payload)
        if _account_of(payload) != account:
            continue
        fields = json.loads(payload)
        if len(fields) > METADATA_AT:
            fields[METADATA_AT] = None
            entry.payload = json.dumps(fields, separators=(",", ":")).encode()
            entry.save(update_fields=["payload"])


def _account_of(payload: bytes) -> object:
    try:
        fields = json.loads(payload)
    except ValueError:
        return None
    return fields[ACCOUNT_AT] if isinstance(fields, list) and len(fields) > ACCOUNT_AT else None


def _empty_log(account: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TABLES, [partitions.TABLE, partitions.TABLE])
        tables = [name for (name,) in cursor.fetchall()]
        for table in tables:
            emptied = AT_ONCE
            while emptied == AT_ONCE:  # a transaction each, so that a kill loses little
                cursor.execute(
                    f"UPDATE {table} SET metadata = NULL WHERE ctid IN"
                    f" (SELECT ctid FROM {table} WHERE account_id = %s AND metadata IS NOT NULL LIMIT %s)",
                    [account, AT_ONCE],
                )
                emptied = cursor.rowcount
