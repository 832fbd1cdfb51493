"""The charge of a call in PostgreSQL alone: its event, the counter of its window, and what the sums gain by it."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from billing.fence import push
from billing.rules.entitlements.entitlement import QUOTA
from billing.rules.instants import from_ms, from_seconds
from usage.log import crossings, reserved, sums
from usage.log.batch import EventBatch
from usage.log.events import CHARGE, REFUSED, Event
from usage.log.idempotency import key_records, keyed_charges
from usage.log.months import partitions
from usage.log.store import record_without_redis
from usage.metering import budgets
from usage.metering.call import Call
from usage.models import UsageLog

EVENT = """
INSERT INTO usage_usagelog (id, event_id, charged_at, created_at, account_id, feature, tokens, kind,
        source, key_prefix, window_starts_at, metadata)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""
COUNTER = f"""
INSERT INTO usage_windowusage AS kept (account_id, starts_at, ends_at, tokens, revision)
    SELECT %(account)s, %(start)s, %(end)s, %(cost)s, 1 WHERE %(cost)s <= coalesce(%(quota)s::bigint, %(cost)s)
ON CONFLICT (account_id, starts_at) DO UPDATE
    SET tokens = kept.tokens + EXCLUDED.tokens, revision = kept.revision + 1
    WHERE kept.tokens + EXCLUDED.tokens <= coalesce(%(quota)s::bigint, kept.tokens + EXCLUDED.tokens)
RETURNING tokens, {crossings.ARE_DUE}
"""


class Refused(Exception):
    """The quota, or a budget of the key, has no room: nothing of the transaction stays."""


class KeyTaken(Exception):
    """Another call under the same Idempotency-Key was charged at this moment."""


def store_charge(call: Call, event: Event, *, judged: bool) -> int | None:
    """Charge within the present transaction; None for an event that was charged already, by Redis and the drain.

    `judged`: the quota and the key's budgets must have room. Raises Refused, KeyTaken: nothing of it may stay.
    """
    partitions.ensure([from_ms(event.charged_at_ms)])
    quota = call.snapshot.entitlement.limit(QUOTA)
    values: dict[str, Any] = {
        "account": event.account,
        "start": from_seconds(event.window_start),
        "end": from_seconds(event.window_end),
        "cost": event.tokens,
        "quota": quota.maximum if quota is not None and event.tokens and judged else None,
    }
    with connection.cursor() as cursor:
        cursor.execute(EVENT, _row(event, CHARGE, event.tokens))
        if not cursor.rowcount:
            if event.key and key_records.find(event.account, event.key, from_ms(call.now_ms)):
                raise KeyTaken
            return None
        if event.key and not keyed_charges.open_one(event, from_ms(call.now_ms)):
            raise KeyTaken
        cursor.execute(COUNTER, values)
        counter = cursor.fetchone()
        if counter is None:
            raise Refused
    bounds = call.template.bounds
    if bounds is not None and event.tokens and judged and not budgets.have_room(bounds):
        raise Refused
    batch = EventBatch.of([event])
    reserved.note([batch], by_redis=False)
    if counter[1]:
        crossings.mark([(event.account, event.window_start)])
    sums.move(Counter(batch.moves()), windows=False)
    push.invalidate_counters([event.account])
    return cast(int, counter[0])


def record_refusal(event: Event) -> None:
    """Make sure that a call that was refused stays uncharged, although Redis may have charged it, or still will.

    Twice is as good as once.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        partitions.ensure([from_ms(event.charged_at_ms)])
        cursor.execute(EVENT, _row(event, REFUSED, 0))
        if not cursor.rowcount and UsageLog.objects.filter(id=event.id, kind=CHARGE).exists():
            void(event, event.at_ms)


def void(event: Event, now_ms: int) -> bool:
    """Take a charge back in PostgreSQL; False when its request runs again under its key, or has ended there."""
    with transaction.atomic():
        if event.key and not key_records.release(event):
            return False
        record_without_redis([event.voided(now_ms)])
    return True


def _row(event: Event, kind: str, tokens: int) -> list[Any]:
    return [
        event.id,
        event.charge,
        from_ms(event.charged_at_ms),
        from_ms(event.at_ms),
        event.account,
        event.feature,
        tokens,
        kind,
        event.source,
        event.key_prefix,
        from_seconds(event.window_start),
        None if event.metadata is None else Jsonb(event.metadata),
    ]
