"""PostgreSQL's memory of Idempotency-Keys: fed by the drain and by calls decided without Redis, restored in Redis.

The rule is that of lua/fragments/record.lua, which Redis goes by: a request is in flight, or it has ended. One that has
failed frees its key; any other keeps its charge, and gives its answer again or runs again, uncharged, a few times.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from django.conf import settings
from django.db import connection

from billing.rules.instants import to_ms
from ratelimit.counters import Record
from ratelimit.keys import AccountKeys
from ratelimit.limits import KeptAnswer
from ratelimit.scripts import MOST_RERUNS, RECORD_LIFE_MS
from usage.log.events import VOID, Event, adjustment_of
from usage.log.rows import event_of
from usage.models import IdempotencyRecord, UsageLog

MOST_RESTORED = 1_000
"""Records of one account that Redis is given at once, the newest first: the call that waits for it must not hang."""
PURGE_BATCH = 10_000
RECORD_LIFE = timedelta(milliseconds=RECORD_LIFE_MS)


class State(Enum):
    """What a call under a key that is known has to do."""

    OTHER_REQUEST = "the key belongs to another request"
    IN_FLIGHT = "its request is being answered"
    ANSWERED = "its answer is given again"
    EXHAUSTED = "it has run again too often"
    UNANSWERED = "it may run again, uncharged"


def state_of(record: IdempotencyRecord, fingerprint: str, now: datetime) -> State:
    """As lua/fragments/record.lua has it."""
    if record.fingerprint != fingerprint:
        return State.OTHER_REQUEST
    if record.in_flight_until is not None and now < record.in_flight_until:
        return State.IN_FLIGHT
    if record.answer_head is not None:
        return State.ANSWERED
    return State.UNANSWERED if record.reruns < MOST_RERUNS else State.EXHAUSTED


def answer_of(record: IdempotencyRecord) -> KeptAnswer | None:
    if record.answer_head is None:
        return None
    return KeptAnswer(bytes(record.answer_head), bytes(record.answer_body or b""))


def longest_request() -> timedelta:
    """After this long without an end, nobody knows how a request has ended."""
    return timedelta(seconds=settings.LONGEST_REQUEST_SECONDS)


def find(account: int, key: str, now: datetime) -> IdempotencyRecord | None:
    """The live record of a key, locked for the present transaction."""
    live = IdempotencyRecord.objects.filter(account_id=account, key=key, expires_at__gt=now, released=False)
    return live.select_for_update().first()


def find_of_charge(account: int, event: str) -> IdempotencyRecord | None:
    """The record that a charge holds, locked for the present transaction; most charges have none."""
    held = IdempotencyRecord.objects.filter(account_id=account, event_id=event, released=False)
    return held.select_for_update().first()


def rerun(record: IdempotencyRecord, now: datetime) -> None:
    """The request runs again, and is in flight until that run has ended."""
    record.reruns += 1
    record.in_flight_until = now + longest_request()
    record.save(update_fields=["reruns", "in_flight_until"])


def end_request(event: Event, answer: KeptAnswer | None) -> None:
    """The request has ended, and its charge stands; a successful answer is kept where there is one."""
    held = IdempotencyRecord.objects.filter(account_id=event.account, key=event.key, event_id=event.charge)
    if answer is None:
        held.update(in_flight_until=None)
    else:
        held.update(in_flight_until=None, answer_head=answer.head, answer_body=answer.body)


def release(event: Event) -> bool:
    """Free the key of a charge whose first run has failed, as part of the transaction that voids it.

    False when the charge stands all the same: the request has run again since it was given up as unknown, or has ended.
    """
    held = IdempotencyRecord.objects.select_for_update().filter(account_id=event.account, key=event.key)
    record = held.filter(event_id=event.charge).first()
    if record is None:
        return True
    if record.in_flight_until is None or record.reruns:
        return False
    release_record(record)
    return True


def release_record(record: IdempotencyRecord) -> None:
    """Free the key, whatever has become of its request; Redis learns of it with the account's next publication."""
    if record.others:
        hand_on(record, record.others)
    else:
        record.released = True
        record.save(update_fields=["released"])


def hand_on(record: IdempotencyRecord, others: list[UUID]) -> None:
    """The record's charge is voided: the next one of the same request has the key, or the key is free."""
    if not others:
        record.delete()
        return
    record.event_id, record.others = others[0], others[1:]
    charge = event_of(UsageLog.objects.get(pk=record.event_id))
    record.audit = charge._replace(key=record.key, fingerprint=record.fingerprint).encode()
    record.save(update_fields=["event_id", "others", "audit"])


def kept(event: Event) -> tuple[KeptAnswer | None, bool]:
    """The answer that PostgreSQL keeps for the request of a charge under a key; and whether the request is uncharged.

    It is when the charge was voided, and no other charge of the same request holds the key.
    """
    held = IdempotencyRecord.objects.filter(account_id=event.account, key=event.key, fingerprint=event.fingerprint)
    record = held.filter(released=False).first()
    if record is not None:
        return answer_of(record), False
    return None, UsageLog.objects.filter(id=adjustment_of(UUID(event.charge)), kind=VOID).exists()


def owners(accounts: Collection[int], now: datetime) -> set[int]:
    """Those of the accounts that have live records."""
    live = IdempotencyRecord.objects.filter(account_id__in=accounts, expires_at__gt=now)
    return set(live.values_list("account_id", flat=True))


def to_restore(account: int, now: datetime) -> list[Record]:
    """The account's newest records as Redis is given them, those of released keys too."""
    keys = AccountKeys(account)
    live = IdempotencyRecord.objects.filter(account_id=account, expires_at__gt=now).order_by("-expires_at")
    return [
        Record(
            keys.record(record.key),
            record.fingerprint.encode(),
            str(record.event_id),
            bytes(record.audit),
            None if record.in_flight_until is None else to_ms(record.in_flight_until),
            record.reruns,
            0 if record.released else to_ms(record.expires_at),
        )
        for record in live.defer("answer_head", "answer_body")[:MOST_RESTORED]
    ]


def purge(now: datetime) -> int:
    """Delete records that have expired, some at a time; returns how many."""
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
