"""Requests that were charged twice under one Idempotency-Key, by sides that could not know of each other."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from billing.fence.fenced import push_on_commit
from billing.rules.instants import to_ms
from usage.log.events import VOID, adjustment_of
from usage.log.idempotency.key_records import longest_request
from usage.log.rows import event_of
from usage.log.store import record_without_redis
from usage.models import IdempotencyRecord, UsageLog


def void_second_charges(now: datetime) -> int:
    """Void all but one charge of each such request, once none of its runs can be in flight; returns how many.

    Not before: a run that fails later is voided by itself, and then the other charge is the one that stands. Redis is
    told of each at once.
    """
    voided = 0
    for account, key in IdempotencyRecord.objects.exclude(others=[]).values_list("account_id", "key"):
        with transaction.atomic():
            held = IdempotencyRecord.objects.select_for_update().filter(account_id=account, key=key)
            record = held.exclude(others=[]).first()
            if record is not None and not _may_be_in_flight(record, now):
                voided += _void_others(record, now)
                push_on_commit(account)
    return voided


def _may_be_in_flight(record: IdempotencyRecord, now: datetime) -> bool:
    newest = UsageLog.objects.filter(id__in=record.others).order_by("-charged_at").first()
    if newest is not None and now < newest.charged_at + longest_request():
        return True
    return record.in_flight_until is not None and now < record.in_flight_until


def _void_others(record: IdempotencyRecord, now: datetime) -> int:
    voids = UsageLog.objects.filter(id__in=[*map(adjustment_of, record.others)], kind=VOID)
    adjusted = set(voids.values_list("id", flat=True))
    standing: list[UUID] = [charge for charge in record.others if adjustment_of(charge) not in adjusted]
    charges = [event_of(row) for row in UsageLog.objects.filter(id__in=standing)]
    record_without_redis([charge.voided(to_ms(now)) for charge in charges])
    record.others = []
    record.save(update_fields=["others"])
    return len(charges)
