"""PostgreSQL's memory of Idempotency-Keys: fed by the drain and by calls decided without Redis, told to Redis again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import Enum
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from billing.rules.instants import from_ms, to_ms
from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Bought
from ratelimit.scripts import RECEIPT_LIFE_MS
from usage.log.batch import decode
from usage.log.events import Event, void_of
from usage.models import Receipt, UsageLog

MOST_RECALLED = 1_000
"""Receipts of one account that Redis is told at once, the newest first: the call that waits for it must not hang."""
PURGE_BATCH = 10_000
RECEIPT_LIFE = timedelta(milliseconds=RECEIPT_LIFE_MS)

OPEN = """
INSERT INTO usage_receipt AS kept (account_id, key, fingerprint, event_id, audit, runs, redis_charges, expires_at)
    SELECT account_id, key, fingerprint, event_id, audit, CASE WHEN by_redis THEN 0 ELSE 1 END,
        CASE WHEN by_redis THEN ARRAY[event_id] ELSE ARRAY[]::uuid[] END, expires_at
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[], %s::bytea[], %s::timestamptz[], %s::bool[])
        AS given (account_id, key, fingerprint, event_id, audit, expires_at, by_redis)
    ORDER BY account_id, key
ON CONFLICT (account_id, key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, event_id = EXCLUDED.event_id, audit = EXCLUDED.audit,
        runs = EXCLUDED.runs, redis_charges = EXCLUDED.redis_charges, expires_at = EXCLUDED.expires_at
"""
# Redis sold the key once more: it was free again, unless the same request still holds it.
IF_FREE_AGAIN = """
    WHERE kept.event_id < EXCLUDED.event_id
        AND (kept.fingerprint <> EXCLUDED.fingerprint OR kept.expires_at <= EXCLUDED.expires_at - interval '1 ms' * %s)
RETURNING event_id::text
"""
IF_EXPIRED = "WHERE kept.expires_at <= %s"
# Charges by Redis of requests that have bought their key by another charge: it counts runs of these, too.
JOIN = """
UPDATE usage_receipt kept SET redis_charges = kept.redis_charges || given.event_id
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[]) AS given (account_id, key, fingerprint, event_id)
    WHERE kept.account_id = given.account_id AND kept.key = given.key AND kept.fingerprint = given.fingerprint
        AND kept.event_id <> given.event_id AND NOT given.event_id = ANY (kept.redis_charges)
RETURNING given.event_id::text
"""
MARK_RECALLED = """
UPDATE usage_receipt SET redis_charges = redis_charges || event_id
    WHERE account_id = %s AND key = ANY(%s) AND NOT event_id = ANY (redis_charges)
"""
HAND_OVER_RUNS = """
UPDATE usage_receipt kept SET runs = greatest(kept.runs - given.runs, 0)
    FROM unnest(%s::text[], %s::uuid[], %s::int[]) AS given (key, event_id, runs)
    WHERE kept.account_id = %s AND kept.key = given.key AND kept.event_id = given.event_id
"""


class Failed(Enum):
    """What becomes of a charge when a run of it that was counted here has failed."""

    STANDS = "others stand, or may stand"
    ASK_REDIS = "this run is among those that Redis counts"
    FREE = "that was the last run: the charge is to be voided, and the key is free"


def follow(keyed: Sequence[Event], voids: Sequence[Event]) -> list[Event]:
    """Before voids go into the log, and after new charges have, `keyed` among them: returns the voids that take effect.

    A void by Redis takes none when a run stands that Redis does not know of. Voided as well is a charge of a request
    that was charged under its key by another side too, when neither could know of the other: before an outage of Redis
    and in it, or by processes of which only some reach Redis.
    """
    voided = {void.charge for void in voids}
    standing, freed = _release([void for void in voids if void.receipt])
    doubled = _open([event for event in keyed if event.charge not in voided])
    taking_effect = [void for void in voids if void.charge not in standing]
    return [*taking_effect, *freed, *(event.voided(event.at_ms) for event in doubled)]


def _release(voids: Sequence[Event]) -> tuple[set[str], list[Event]]:
    """Redis' runs of these charges have all failed.

    Returns the charges that stand all the same, and voids of those that do no longer, since they stood for the runs of
    one of these only.
    """
    if not voids:
        return set(), []
    charges = {UUID(void.charge): void for void in voids}
    held = Receipt.objects.filter(account_id__in={void.account for void in voids}, key__in={v.receipt for v in voids})
    theirs = held.filter(Q(event_id__in=charges) | Q(redis_charges__overlap=[*charges]))
    standing, freed = set(), []
    for receipt in theirs.select_for_update().order_by("account_id", "key"):
        released = [charge for charge in receipt.redis_charges if charge in charges]
        receipt.redis_charges = [charge for charge in receipt.redis_charges if charge not in charges]
        if receipt.runs or receipt.redis_charges:
            receipt.save(update_fields=["redis_charges"])
            standing.add(str(receipt.event_id))
            continue
        receipt.delete()
        if receipt.event_id not in charges:
            freed.append(decode(bytes(receipt.audit)).voided(charges[released[0]].at_ms))
    return standing, freed


def _open(sold: Sequence[Event]) -> list[Event]:
    """Charges made by Redis open the receipts of their keys; returns those of requests that hold theirs already."""
    latest = {(event.account, event.receipt): event for event in sold}
    if not latest:
        return []
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_FREE_AGAIN, [*_columns(latest.values(), by_redis=True), RECEIPT_LIFE_MS])
        opened = {row[0] for row in cursor.fetchall()}
        rest = [event for event in latest.values() if event.charge not in opened]
        if not rest:
            return []
        rows = [(event.account, event.receipt, event.fingerprint, event.charge) for event in rest]
        cursor.execute(JOIN, [list(column) for column in zip(*rows, strict=True)])
        doubled = {row[0] for row in cursor.fetchall()}
    return [event for event in rest if event.charge in doubled]


def orphans(known: Iterable[Event]) -> list[Event]:
    """Those of the charges by Redis that were refused or taken back here before: nobody may replay them any more."""
    keyed = {UUID(event.charge): event for event in known if event.receipt}
    if not keyed:
        return []
    ids = {charge: charge for charge in keyed} | {void_of(charge): charge for charge in keyed}
    rows = UsageLog.objects.filter(id__in=ids).exclude(kind=UsageLog.Kind.CHARGE).values_list("id", flat=True)
    dead = {ids[row] for row in rows}
    held = Receipt.objects.filter(account_id__in={keyed[charge].account for charge in dead})
    joined = set(
        chain.from_iterable(held.filter(redis_charges__overlap=[*dead]).values_list("redis_charges", flat=True))
    )
    return [keyed[charge] for charge in dead - joined]


def open_one(charge: Event, now: datetime, *, in_doubt: bool) -> bool:
    """Open the receipt of a charge made without Redis; False when its key has a live one.

    `in_doubt`: Redis was asked for this charge in vain. It may have made it too, and then it counts its runs.
    """
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_EXPIRED, [*_columns([charge], by_redis=in_doubt), now])
        return bool(cursor.rowcount)


def _columns(charges: Iterable[Event], *, by_redis: bool) -> list[list[Any]]:
    rows = [(e.account, e.receipt, e.fingerprint, e.charge, e.encode(), _expiry(e), by_redis) for e in charges]
    return [list(column) for column in zip(*rows, strict=True)]


def find(account: int, key: str, now: datetime) -> Receipt | None:
    """The live receipt of a key, locked for the present transaction."""
    return Receipt.objects.select_for_update().filter(account_id=account, key=key, expires_at__gt=now).first()


def fail(event: Event) -> Failed:
    """A run of the event that was decided without Redis has failed."""
    found = Receipt.objects.select_for_update().filter(account_id=event.account, key=event.receipt)
    receipt = found.filter(event_id=event.charge).first()
    if receipt is None:
        return Failed.STANDS
    if not receipt.runs:
        return Failed.ASK_REDIS if receipt.event_id in receipt.redis_charges else Failed.STANDS
    receipt.runs -= 1
    if not (receipt.runs or receipt.redis_charges):
        receipt.delete()
        return Failed.FREE
    receipt.save(update_fields=["runs"])
    return Failed.STANDS


def owners(accounts: Collection[int], now: datetime) -> list[int]:
    """Those of the accounts that have live receipts."""
    live = Receipt.objects.filter(account_id__in=accounts, expires_at__gt=now)
    return sorted(set(live.values_list("account_id", flat=True)))


def recall(account: int, now: datetime, tell: Callable[[Sequence[Bought]], list[bool]]) -> int:
    """Have Redis told the live receipts it lacks, by a `tell` that says of each if it did; returns how many."""
    live = _marked_recalled(account, now)
    keys = AccountKeys(account)
    brought = tell(
        [
            Bought(
                limiter.Receipt(keys.receipt_of(receipt.key), receipt.fingerprint.encode()),
                str(receipt.event_id),
                bytes(receipt.audit),
                receipt.runs + len(receipt.redis_charges),
                to_ms(receipt.expires_at),
            )
            for receipt in live
        ]
    )
    handed_over = [receipt for receipt, was in zip(live, brought, strict=True) if was and receipt.runs]
    if handed_over:
        rows = [(receipt.key, receipt.event_id, receipt.runs) for receipt in handed_over]
        with connection.cursor() as cursor:
            cursor.execute(HAND_OVER_RUNS, [*(list(column) for column in zip(*rows, strict=True)), account])
    return sum(brought)


def _marked_recalled(account: int, now: datetime) -> list[Receipt]:
    """The account's live receipts, as they are before Redis can count a run of them.

    From when it is marked a receipt stands, whatever fails without Redis. Until then the last run may fail and end it.
    """
    live = list(Receipt.objects.filter(account_id=account, expires_at__gt=now).order_by("-expires_at")[:MOST_RECALLED])
    unmarked = {receipt.key for receipt in live if receipt.event_id not in receipt.redis_charges}
    if not unmarked:
        return live
    with transaction.atomic():
        there = Receipt.objects.select_for_update().filter(account_id=account, key__in=unmarked, expires_at__gt=now)
        marked = list(there.order_by("key"))
        with connection.cursor() as cursor:
            cursor.execute(MARK_RECALLED, [account, [receipt.key for receipt in marked]])
    return [*(receipt for receipt in live if receipt.key not in unmarked), *marked]


def purge(now: datetime) -> int:
    """Delete receipts that have expired, some at a time; returns how many."""
    deleted = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "DELETE FROM usage_receipt WHERE (account_id, key) IN"
                " (SELECT account_id, key FROM usage_receipt WHERE expires_at <= %s LIMIT %s)",
                [now, PURGE_BATCH],
            )
            batch = int(cursor.rowcount)
        deleted += batch
        if batch < PURGE_BATCH:
            return deleted


def _expiry(event: Event) -> datetime:
    return from_ms(event.charged_at_ms) + RECEIPT_LIFE
