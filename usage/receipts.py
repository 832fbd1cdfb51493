"""PostgreSQL's memory of Idempotency-Keys: fed by the drain and by calls decided without Redis, told to Redis again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Bought
from ratelimit.scripts import RECEIPT_LIFE_MS
from ratelimit.store import store
from usage.events import VOID, Event, instant
from usage.models import Receipt

MOST_RECALLED = 1_000
"""Receipts of one account that Redis is told at once, the newest first: the call that waits for it must not hang."""
PURGE_BATCH = 10_000
RECEIPT_LIFE = timedelta(milliseconds=RECEIPT_LIFE_MS)

OPEN = """
INSERT INTO usage_receipt AS kept (account_id, key, fingerprint, event_id, audit, runs, expires_at)
    SELECT account_id, key, fingerprint, event_id, audit, 1, expires_at
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[], %s::bytea[], %s::timestamptz[])
        AS given (account_id, key, fingerprint, event_id, audit, expires_at)
    ORDER BY account_id, key
ON CONFLICT (account_id, key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, event_id = EXCLUDED.event_id, audit = EXCLUDED.audit,
        runs = 1, expires_at = EXCLUDED.expires_at
"""
# Redis sold the key once more: it was free again, unless the same request still holds it.
IF_FREE_AGAIN = """
    WHERE kept.event_id < EXCLUDED.event_id
        AND (kept.fingerprint <> EXCLUDED.fingerprint OR kept.expires_at <= EXCLUDED.expires_at - interval '1 ms' * %s)
RETURNING event_id::text
"""
IF_EXPIRED = "WHERE kept.expires_at <= %s"


def follow(inserted: Sequence[Event]) -> list[Event]:
    """What the log has taken in: voids free the keys of their charges, charges open the receipts of theirs.

    Returns charges of a request that was charged under its key by another side as well, when neither could know of
    the other: before an outage of Redis and in it, or by processes of which only some reach Redis.
    """
    keyed = [event for event in inserted if event.receipt]
    voided = {event.charge for event in keyed if event.kind == VOID}
    if voided:
        accounts = {event.account for event in keyed}
        Receipt.objects.filter(account_id__in=accounts, event_id__in=voided).delete()
    standing = [event for event in keyed if event.charge not in voided]
    latest = {(event.account, event.receipt): event for event in standing}
    if not latest:
        return []
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_FREE_AGAIN, [*_columns(latest.values()), RECEIPT_LIFE_MS])
        opened = {row[0] for row in cursor.fetchall()}
    return [event for event in latest.values() if event.charge not in opened and _holds_the_key(event)]


def _holds_the_key(event: Event) -> bool:
    """Whether its request holds the key by another charge."""
    return Receipt.objects.filter(account_id=event.account, key=event.receipt, fingerprint=event.fingerprint).exists()


def open_one(charge: Event, now: datetime) -> bool:
    """Open the receipt of a charge made without Redis; False when its key has a live one."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_EXPIRED, [*_columns([charge]), now])
        return bool(cursor.rowcount)


def _columns(charges: Iterable[Event]) -> list[list[Any]]:
    rows = [(e.account, e.receipt, e.fingerprint, e.charge, e.encode(), _expiry(e)) for e in charges]
    return [list(column) for column in zip(*rows, strict=True)]


def find(account: int, key: str, now: datetime) -> Receipt | None:
    """The live receipt of a key, locked for the present transaction."""
    return Receipt.objects.select_for_update().filter(account_id=account, key=key, expires_at__gt=now).first()


def fail(event: Event) -> bool:
    """A run of the event has failed: True when other runs stand, False when that was the last and the key is free."""
    found = Receipt.objects.select_for_update().filter(account_id=event.account, key=event.receipt)
    receipt = found.filter(event_id=event.charge).first()
    if receipt is None:
        return False
    if receipt.runs <= 1:
        receipt.delete()
        return False
    receipt.runs -= 1
    receipt.save(update_fields=["runs"])
    return True


def owners(accounts: Collection[int], now: datetime) -> list[int]:
    """Those of the accounts that have live receipts."""
    live = Receipt.objects.filter(account_id__in=accounts, expires_at__gt=now)
    return sorted(set(live.values_list("account_id", flat=True)))


def recall(account: int, now: datetime) -> int:
    """Tell Redis the live receipts it lacks; returns how many it had lost."""
    live = Receipt.objects.filter(account_id=account, expires_at__gt=now).order_by("-expires_at")[:MOST_RECALLED]
    keys = AccountKeys(account)
    bought = [
        Bought(
            limiter.Receipt(keys.receipt_of(receipt.key), receipt.fingerprint.encode()),
            str(receipt.event_id),
            bytes(receipt.audit),
            receipt.runs,
            round(receipt.expires_at.timestamp() * 1000),
        )
        for receipt in live
    ]
    return limiter.recall(store(), bought) if bought else 0


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
    return instant(event.charged_at_ms) + RECEIPT_LIFE
