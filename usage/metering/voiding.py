"""Gives tokens back: of a gateway call that failed, and of a charge that its maker takes back."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction

from billing.entitlements.api_keys import Caller
from billing.rules.entitlement import QUOTA
from billing.rules.instants import from_ms, to_ms
from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Voided
from ratelimit.limits import Limit, Take
from ratelimit.store import NotExecuted, RedisUnreachable, store
from usage.drain import drain
from usage.log import events, idempotency
from usage.log.events import Event
from usage.log.store import event_of, record
from usage.metering.admission import Admission
from usage.models import UsageLog
from usage.sync import outage
from usage.sync.outage import asking_redis

logger = logging.getLogger(__name__)
VOIDABLE_FOR = timedelta(hours=1)
METER_SCOPE = "meter"
MOST_OWED = 10_000


class _Owed(NamedTuple):
    event: Event
    now_ms: int
    receipt: limiter.Receipt | None


_owed: deque[_Owed] = deque()
"""Voids of failed calls that neither engine could take, in this process' memory: they end with it."""


class EventNotFound(Exception):
    """The account has made no such charge."""


class NotVoidable(Exception):
    """The gateway charged it for a call that was served."""


class TooLate(Exception):
    """The charge is older than an hour."""


class AlreadyVoided(Exception):
    """The charge was taken back before."""


def void_failed_call(admission: Admission) -> None:
    """Give back what a failed call was charged, unless another run under its idempotency key stands."""
    event = admission.event
    if event is None or not admission.admitted:
        return
    admission.cost = 0
    now_ms = time.time_ns() // 1_000_000
    try:
        used = _void_failed(admission, event, now_ms)
    except (RedisUnreachable, OperationalError, InterfaceError) as error:
        logger.error("charge %s of a failed call stands: %s", event.charge, error)
        return
    if admission.quota.limit.starts_at_ms == event.window_start * 1000:
        admission.standings = (*admission.standings[:-1], admission.quota._replace(used=used))


def _void_failed(admission: Admission, event: Event, now_ms: int) -> int:
    """The tokens used after it. A run is taken back where it was counted: a served call must not become free."""
    used = admission.quota.used
    if event.receipt and not admission.by_redis:
        with transaction.atomic():
            failed = idempotency.fail(event)
            if failed is idempotency.Failed.FREE:
                record([event.voided(now_ms)])
                return used - event.tokens
        if failed is idempotency.Failed.STANDS:
            return used
    try:
        return asking_redis(lambda: _void(event, now_ms, admission.receipt))[1]
    except RedisUnreachable as error:
        if not event.receipt:
            with suppress(OperationalError, InterfaceError):
                record([event.voided(now_ms)])
                return used - event.tokens
        elif not isinstance(error, NotExecuted):
            # It may have been counted: a second time would be for another run, which was perhaps served.
            raise
    _owe(_Owed(event, now_ms, admission.receipt))
    return used


def _owe(owed: _Owed) -> None:
    """Nobody who could void it has answered: it is voided when Redis is back."""
    if len(_owed) >= MOST_OWED:
        logger.error("charge %s of a failed call stands: too many wait for Redis", owed.event.charge)
        return
    _owed.append(owed)
    logger.warning("charge %s of a failed call is voided when Redis is back", owed.event.charge)


def pay_what_is_owed() -> None:
    """Void what waits for Redis. Raises RedisUnreachable."""
    while _owed:
        owed = _owed.popleft()
        try:
            _void(*owed)
        except Exception as error:
            # As long as Redis cannot have counted the end of this run, or a void of it happens once anyhow.
            if isinstance(error, NotExecuted) or (isinstance(error, RedisUnreachable) and owed.receipt is None):
                _owed.appendleft(owed)
            else:
                logger.error("charge %s of a failed call stands: %s", owed.event.charge, error)
            raise


def forget_everything() -> None:
    """As a new process, which owes nothing."""
    _owed.clear()


outage.afterwards(pay_what_is_owed)


def void_tracked_charge(caller: Caller, charge: UUID, now: datetime) -> None:
    """Take back a charge of `/usage/track`, once, within an hour.

    Raises EventNotFound, NotVoidable, TooLate, AlreadyVoided; ingest.Behind.
    """
    drain.catch_up(caller.account)
    found = UsageLog.objects.filter(account=caller.account, id__in=[charge, events.void_of(charge)])
    rows = {row.id: row for row in found}
    row = rows.get(charge)
    if row is None or row.kind != events.CHARGE:
        raise EventNotFound
    if row.source != events.TRACK:
        raise NotVoidable
    if len(rows) > 1:
        raise AlreadyVoided
    if now - row.charged_at > VOIDABLE_FOR:
        raise TooLate
    event, now_ms = event_of(row), to_ms(now)
    try:
        status, _ = asking_redis(lambda: _void(event, now_ms))
    except RedisUnreachable:
        status = _void_without(event, now_ms)
    if status is not Voided.VOIDED:
        raise AlreadyVoided


def _void_without(event: Event, now_ms: int) -> Voided:
    """In PostgreSQL, where one void of a charge waits for another one on the charge's row."""
    with transaction.atomic():
        list(UsageLog.objects.select_for_update().filter(id=event.id, charged_at=from_ms(event.charged_at_ms)))
        if UsageLog.objects.filter(id=events.void_of(event.id)).exists():
            return Voided.ALREADY
        record([event.voided(now_ms)])
    return Voided.VOIDED


def _void(event: Event, now_ms: int, receipt: limiter.Receipt | None = None) -> tuple[Voided, int]:
    """How it went, and the tokens used in the charge's window after it."""
    window_ms = (event.window_end - event.window_start) * 1000
    quota = Limit(QUOTA, None, window_ms, event.window_start * 1000)
    audit = event.voided(now_ms).encode()
    keys = AccountKeys(event.account)
    status, standing = limiter.void(
        store(), keys, Take(quota, event.tokens), event=event.charge, audit=audit, receipt=receipt
    )
    return status, standing.used
