"""PostgreSQL's memory of Idempotency-Keys: fed by the drain and by calls decided without Redis, told to Redis again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import RECEIPT_LIFE_MS, Bought
from ratelimit.store import store
from usage.events import VOID, Event, instant
from usage.models import Receipt

MOST_RECALLED = 1_000
"""Receipts of one account that Redis is told at once, the newest first: the call that waits for it must not hang."""
PURGE_BATCH = 10_000

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
# Redis sold the key once more: it was free again.
IF_LATER = "WHERE kept.event_id < EXCLUDED.event_id"
IF_EXPIRED = "WHERE kept.expires_at <= %s"


def follow(inserted: Sequence[Event]) -> list[Event]:
    """What the log has taken in: charges open the receipts of their keys, voids free them.

    Returns charges of which the same request was charged again while Redis was out of reach, and nobody knew of them.
    """
    keyed = [event for event in inserted if event.receipt]
    opened: set[str] = set()
    latest = {(event.account, event.receipt): event for event in keyed if event.kind != VOID}
    if latest:
        with connection.cursor() as cursor:
            cursor.execute(OPEN + IF_LATER + " RETURNING event_id::text", _columns(latest.values()))
            opened = {row[0] for row in cursor.fetchall()}
    doubted = [event for event in latest.values() if event.charge not in opened]
    voided = [event for event in keyed if event.kind == VOID]
    if voided:
        accounts, charges = {event.account for event in voided}, [event.charge for event in voided]
        Receipt.objects.filter(account_id__in=accounts, event_id__in=charges).delete()
    return [event for event in doubted if _was_charged_again(event)]


def _was_charged_again(event: Event) -> bool:
    later = Receipt.objects.filter(account_id=event.account, key=event.receipt, event_id__gt=event.charge)
    return later.filter(fingerprint=event.fingerprint).exists()


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
    return instant(event.charged_at_ms) + timedelta(milliseconds=RECEIPT_LIFE_MS)
