"""Gives tokens back: of a gateway call that failed, and of a charge that its maker takes back."""

from __future__ import annotations

import logging
import time
from datetime import datetime, timedelta
from uuid import UUID

from billing.credentials import Caller
from ratelimit import limiter
from ratelimit.keys import AccountKeys
from ratelimit.limiter import Voided
from ratelimit.limits import Limit, Take
from ratelimit.store import RedisUnreachable, store
from usage import events, ingest
from usage.events import Event
from usage.meter import Admission
from usage.models import UsageLog
from usage.quota import QUOTA

logger = logging.getLogger(__name__)
VOIDABLE_FOR = timedelta(hours=1)
METER_SCOPE = "meter"


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
        _, used = _void(event, now_ms, admission.receipt)
    except RedisUnreachable:
        if admission.receipt is not None:
            # Whether other runs stand is not known, and a served call must not become free: the charge stays.
            logger.error("charge %s of a failed call stands: Redis did not answer", event.charge)
            return
        ingest.record([event.voided(now_ms)])
        used = admission.quota.used - event.tokens
    if admission.quota.limit.starts_at_ms == event.window_start * 1000:
        admission.standings = (*admission.standings[:-1], admission.quota._replace(used=used))


def void_tracked_charge(caller: Caller, charge: UUID, now: datetime) -> None:
    """Take back a charge of `/usage/track`, once, within an hour.

    Raises EventNotFound, NotVoidable, TooLate, AlreadyVoided; RedisUnreachable; ingest.Behind.
    """
    ingest.catch_up(caller.account)
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
    status, _ = _void(ingest.event_of(row), round(now.timestamp() * 1000))
    if status is not Voided.VOIDED:
        raise AlreadyVoided


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
