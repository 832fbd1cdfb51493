"""Gives tokens back: of a gateway call that failed, and of a charge that its maker takes back."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from redis.exceptions import ResponseError

from billing.models import ApiKey
from billing.rules.entitlements.entitlement import QUOTA
from billing.rules.instants import from_ms, to_ms
from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Voided
from ratelimit.limits import Limit
from ratelimit.scripts import LARGEST_SKEW_MS
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import store
from usage.drain import drain
from usage.log import events
from usage.log.events import Event, adjustment_of
from usage.log.idempotency import key_records
from usage.log.rows import event_of
from usage.log.store import record_without_redis
from usage.metering import budgets, fallback_charge, kept_answers, unsettled
from usage.metering.admission import Admission
from usage.metering.reservations import finishing
from usage.metering.reservations.held import Held
from usage.metering.reservations.refusals import ReservationRefused
from usage.models import UsageLog, UsageReset
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
VOIDABLE_FOR = timedelta(hours=1)
METER_SCOPE = ApiKey.Scope.METER.value


class EventNotFound(Exception):
    """There is no such charge, or none of the account."""


class NotVoidable(Exception):
    """The gateway charged it for a call that was served."""


class TooLate(Exception):
    """The charge is older than an hour."""


class AlreadyVoided(Exception):
    """The charge was taken back before, by itself or with all of its window."""


def void_failed_call(admission: Admission) -> None:
    """Give back what a failed call was charged, and free its Idempotency-Key; a rerun that fails leaves the charge."""
    event = admission.event
    if admission.replayed:
        kept_answers.keep(admission, None)
    if event is None or not admission.charged:
        return
    for reservation in reversed(admission.reservations):  # children first
        reservation.end_failed()
    if event.source == events.RESERVE:
        _release_failed(admission, event)
    if admission.pays_by_units or event.source == events.RESERVE:
        _free_key(event)
        return
    now_ms = time.time_ns() // 1_000_000
    used, window = admission.quota.used, admission.quota.limit.starts_at_ms
    try:
        used = _void_failed(admission, event, now_ms, used)
    except (OperationalError, InterfaceError):
        unsettled.settle_later(event, partial(fallback_charge.void, event, now_ms))
    admission.note_void(used if window == event.window_start * 1000 else admission.quota.used)


def _release_failed(admission: Admission, event: Event) -> None:
    """A request that has opened a reservation has failed: nobody will settle it."""
    held = Held(event, by_redis=admission.by_redis)
    try:
        admission.note_void(finishing.release(held, from_ms(time.time_ns() // 1_000_000)).used)
    except (ReservationRefused, RedisUnreachable, OperationalError, InterfaceError, drain.Behind) as error:
        logger.warning("reservation %s is left to expire: %s", event.charge, error)


def _free_key(event: Event) -> None:
    """In both engines: its charge was settled otherwise, so nothing else frees it."""
    if event.key:
        kept_answers.free_key(event)
        with suppress(OperationalError, InterfaceError), transaction.atomic():
            key_records.release(event)


def _void_failed(admission: Admission, event: Event, now_ms: int, used: int) -> int:
    """The tokens used after it, where the charge was decided if that can be reached, else in PostgreSQL.

    An outcome that is not known is tried again there: the two voids of a charge are one event.
    """
    if admission.by_redis:
        record = admission.call.keyed.record if admission.call.keyed else b""
        try:
            return asking_redis(lambda: _void_in_redis(event, now_ms, record))[1]
        except (RedisUnreachable, ResponseError) as error:
            logger.warning("charge %s of a failed call is voided in PostgreSQL: %s", event.charge, error)
    return used - event.tokens * fallback_charge.void(event, now_ms)


def give_back_price(admission: Admission) -> None:
    """Settle the fixed price of a call at nothing: it pays by what it reserves. Its Idempotency-Key stays in flight."""
    event, is_given_back = admission.event, admission.pays_by_units
    admission.pays_by_units = True
    if event is None or not admission.cost or not admission.charged or is_given_back:
        return
    settled = event._replace(key="", fingerprint="").settled(0, time.time_ns() // 1_000_000)
    try:
        used = asking_redis(lambda: _adjust_in_redis(event, settled))[1]
    except (RedisUnreachable, ResponseError) as error:
        logger.warning("the price of call %s is given back in PostgreSQL: %s", event.charge, error)
        record_without_redis([settled])
        used = admission.quota.used - event.tokens
    admission.note_void(used)


class Settled(Enum):
    """What became of a charge that nobody had settled."""

    VOIDED = "taken back"
    ALREADY = "was taken back before"
    SERVED = "stands: its request was repeated under its Idempotency-Key, or has ended"
    RESET = "was given back with all of its window, by a usage reset"
    NOT_CHARGED = "is not charged"


def settle_charge(charge: UUID, now: datetime) -> Settled:
    """Take back the charge of a call that was not served, as its process would have done it; the log is up to now."""
    at = from_ms(events.minted_at_ms(str(charge)))
    rows = {row.id: row for row in UsageLog.objects.filter(id__in=[charge, adjustment_of(charge)], charged_at=at)}
    row = rows.get(charge)
    if row is None or row.kind != events.CHARGE:
        return Settled.NOT_CHARGED
    if len(rows) > 1:
        return Settled.ALREADY
    if _was_reset(row):
        return Settled.RESET
    event = event_of(row)
    with transaction.atomic():
        record = key_records.find_of_charge(event.account, event.charge)
    if record is not None:
        event = event._replace(key=record.key, fingerprint=record.fingerprint)
    return (
        Settled.VOIDED if kept_answers.free_key(event) and fallback_charge.void(event, to_ms(now)) else Settled.SERVED
    )


def void_tracked_charge(account: int, charge: UUID, now: datetime) -> None:
    """Take back a charge for a call that was served elsewhere, once, within an hour; its Idempotency-Key is free then.

    Raises EventNotFound, NotVoidable, TooLate, AlreadyVoided; drain.Behind.
    """
    drain.catch_up(account)
    found = UsageLog.objects.filter(account=account, id__in=[charge, adjustment_of(charge)])
    rows = {row.id: row for row in found}
    row = rows.get(charge)
    if row is None or row.kind != events.CHARGE:
        raise EventNotFound
    if row.source not in events.SERVED_ELSEWHERE:
        raise NotVoidable
    if len(rows) > 1:
        raise AlreadyVoided
    if now - row.charged_at > VOIDABLE_FOR:
        raise TooLate
    if _was_reset(row):
        raise AlreadyVoided
    event, now_ms = event_of(row), to_ms(now)
    try:
        status, _ = asking_redis(lambda: _take_back_in_redis(event, now_ms))
    except (RedisUnreachable, ResponseError):
        status = _take_back_in_postgres(event, now_ms)
    if status is not Voided.VOIDED:
        raise AlreadyVoided


def account_charged(charge: UUID, now: datetime) -> int:
    """The account that a call was charged to, by the log. What it has tracked or reserved itself is not found.

    Where the charge is not there yet, all shards are drained first. Raises EventNotFound; drain.Behind.
    """
    minted_ms = int.from_bytes(charge.bytes[:6])
    if charge.version != 7 or minted_ms > to_ms(now) + LARGEST_SKEW_MS:
        raise EventNotFound
    at = from_ms(minted_ms)
    minted = at, at + timedelta(seconds=1)
    calls = (events.AUTHORIZE, events.GATEWAY, events.EVENTS)
    rows = UsageLog.objects.filter(id=charge, kind=events.CHARGE, source__in=calls, charged_at__range=minted)
    whose: int | None = rows.values_list("account", flat=True).first()
    if whose is None:
        with suppress(RedisUnreachable):
            drain.catch_up_everywhere()
        whose = rows.values_list("account", flat=True).first()
    if whose is None:
        raise EventNotFound
    return whose


def _was_reset(row: UsageLog) -> bool:
    """Whether all that was used of the charge's window was given back after it."""
    return UsageReset.objects.filter(account=row.account_id, reset_at__gte=row.charged_at).exists()


def _take_back_in_redis(event: Event, now_ms: int) -> tuple[Voided, int]:
    with transaction.atomic():
        record = key_records.find_of_charge(event.account, event.charge)
    if record is None:
        return _void_in_redis(event, now_ms, taken_back=True)
    keyed = event._replace(key=record.key, fingerprint=record.fingerprint)
    return _void_in_redis(keyed, now_ms, AccountKeys(event.account).record(record.key), taken_back=True)


def _take_back_in_postgres(event: Event, now_ms: int) -> Voided:
    """One void of a charge waits for another one on the charge's row."""
    with transaction.atomic():
        list(UsageLog.objects.select_for_update().filter(id=event.id, charged_at=from_ms(event.charged_at_ms)))
        if UsageLog.objects.filter(id=adjustment_of(event.id)).exists():
            return Voided.ALREADY
        if record := key_records.find_of_charge(event.account, event.charge):
            key_records.release_record(record)
        record_without_redis([event.voided(now_ms)])
    return Voided.VOIDED


def _void_in_redis(event: Event, now_ms: int, record: bytes = b"", *, taken_back: bool = False) -> tuple[Voided, int]:
    """How it went, and the tokens used in the charge's window after it."""
    return _adjust_in_redis(event, event.voided(now_ms), record, taken_back=taken_back)


def _adjust_in_redis(
    event: Event, adjustment: Event, record: bytes = b"", *, taken_back: bool = False
) -> tuple[Voided, int]:
    window_ms = (event.window_end - event.window_start) * 1000
    quota = Limit(QUOTA, None, window_ms, event.window_start * 1000)
    status, standing = limiter.void(
        store(),
        AccountKeys(event.account),
        quota,
        event.tokens,
        event=event.charge,
        audit=adjustment.encode(),
        record=record,
        taken_back=taken_back,
        back_to=budgets.back_to(event) if event.key_prefix else (),
        closed=int(event.source == events.RESERVE),
    )
    return status, standing.used
