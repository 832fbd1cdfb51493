"""What charges and voids under Idempotency-Keys do to the records of the keys, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from billing.rules.instants import from_ms
from ratelimit.scripts import RECORD_LIFE_MS
from usage.log.events import CHARGE, VOID, Event, adjustment_of
from usage.log.idempotency.key_records import RECORD_LIFE, hand_on, longest_request
from usage.models import IdempotencyRecord, UsageLog

OPEN = """
INSERT INTO usage_receipt AS kept
        (account_id, key, fingerprint, event_id, audit, in_flight_until, expires_at, reruns, others, released)
    SELECT account_id, key, fingerprint, event_id, audit, in_flight_until, expires_at, 0, ARRAY[]::uuid[], false
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[], %s::bytea[], %s::timestamptz[], %s::timestamptz[])
        AS given (account_id, key, fingerprint, event_id, audit, in_flight_until, expires_at)
    ORDER BY account_id, key
ON CONFLICT (account_id, key) DO UPDATE
    SET fingerprint = EXCLUDED.fingerprint, event_id = EXCLUDED.event_id, audit = EXCLUDED.audit,
        in_flight_until = EXCLUDED.in_flight_until, expires_at = EXCLUDED.expires_at, reruns = 0,
        others = EXCLUDED.others, released = false, answer_head = NULL, answer_body = NULL
"""
# Redis charged the key once more: it was free again, unless the same request still holds it. Of two that hold it the
# later one counts; a call that began before the one that set the key free may be charged after it.
IF_FREE_AGAIN = """
    WHERE kept.released OR kept.event_id < EXCLUDED.event_id AND (kept.fingerprint <> EXCLUDED.fingerprint
        OR kept.expires_at <= EXCLUDED.expires_at - interval '1 ms' * %s)
RETURNING event_id::text
"""
IF_FREE = "WHERE kept.released OR kept.expires_at <= %s"
# Charges of requests that another charge holds the key for; those that a record knows already are left out.
JOIN = """
UPDATE usage_receipt kept SET others = kept.others || joined.events
    FROM (SELECT held.account_id, held.key, array_agg(given.event_id ORDER BY given.event_id) AS events
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::uuid[]) AS given (account_id, key, fingerprint, event_id)
        JOIN usage_receipt held USING (account_id, key, fingerprint)
        WHERE held.event_id <> given.event_id AND NOT given.event_id = ANY (held.others)
        GROUP BY held.account_id, held.key) joined
    WHERE kept.account_id = joined.account_id AND kept.key = joined.key
"""


def note(charges: Sequence[Event], adjustments: Sequence[Event]) -> None:
    """Keep in step with what goes into the log: `charges` are new and under keys; voids free the keys of theirs."""
    voided = {void.charge for void in adjustments if void.kind == VOID}
    _free([void for void in adjustments if void.key and void.kind == VOID])
    _open([event for event in charges if event.charge not in voided])


def _free(voids: Sequence[Event]) -> None:
    """The keys of these charges are free, unless another charge of the same request stands."""
    if not voids:
        return
    charges = {UUID(void.charge) for void in voids}
    held = IdempotencyRecord.objects.filter(account_id__in={void.account for void in voids}, released=False)
    for record in held.filter(key__in={void.key for void in voids}).select_for_update().order_by("account_id", "key"):
        others = [charge for charge in record.others if charge not in charges]
        if record.event_id in charges:
            hand_on(record, others)
        elif others != record.others:
            record.others = others
            record.save(update_fields=["others"])


def _open(charges: Sequence[Event]) -> None:
    """Charges made by Redis open the records of their keys, or join that of the charge that holds it."""
    latest = {(event.account, event.key): event for event in charges}
    if not latest:
        return
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_FREE_AGAIN, [*_columns(latest.values()), RECORD_LIFE_MS])
        opened = {row[0] for row in cursor.fetchall()}
        rest = [event for event in charges if event.charge not in opened]
        if rest:
            rows = [(event.account, event.key, event.fingerprint, event.charge) for event in rest]
            cursor.execute(JOIN, [list(column) for column in zip(*rows, strict=True)])


def open_one(charge: Event, now: datetime) -> bool:
    """Open the record of a charge made without Redis; False when its key has a live one."""
    with connection.cursor() as cursor:
        cursor.execute(OPEN + IF_FREE, [*_columns([charge]), now])
        return bool(cursor.rowcount)


def _columns(charges: Iterable[Event]) -> list[list[Any]]:
    rows = [
        (
            charge.account,
            charge.key,
            charge.fingerprint,
            charge.charge,
            charge.encode(),
            from_ms(charge.charged_at_ms) + longest_request(),
            from_ms(charge.charged_at_ms) + RECORD_LIFE,
        )
        for charge in charges
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def orphans(known: Iterable[Event]) -> list[Event]:
    """Of charges by Redis that the log had before, those that were refused or voided: nobody may be served for them.

    Unless another charge of the same request holds the key.
    """
    keyed = {UUID(event.charge): event for event in known if event.key}
    if not keyed:
        return []
    ids = {charge: charge for charge in keyed} | {adjustment_of(charge): charge for charge in keyed}
    rows = UsageLog.objects.filter(id__in=ids).exclude(kind=CHARGE).values_list("id", flat=True)
    dead = {ids[row] for row in rows}
    held = IdempotencyRecord.objects.filter(account_id__in={keyed[charge].account for charge in dead}, released=False)
    standing = set(held.exclude(event_id__in=dead).values_list("account_id", "key", "fingerprint"))
    found = [keyed[charge] for charge in dead]
    return [event for event in found if (event.account, event.key, event.fingerprint) not in standing]
