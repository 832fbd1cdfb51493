"""Looks at counters that were marked, against what their accounts may do at that moment, and tells what was crossed.

The row of what was crossed and its message are written in one transaction, under the counter's lock: whoever looks
again, at the same moment or after an outage, finds the row.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Q, QuerySet

from billing.catalogue.in_memory import reload_catalogue
from billing.entitlements import snapshots
from billing.entitlements.snapshots import Snapshot
from billing.fence.models import CATALOGUE, Fence
from billing.models import NoticeThreshold
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.entitlements.entitlement import Entitlement
from billing.rules.instants import to_ms, to_seconds
from usage.models import ThresholdCrossed, WindowUsage
from usage.thresholds.rule import HUNDRED_PERCENT, Crossing, Told, Watched, look_from, newly_crossed

logger = logging.getLogger(__name__)
BATCH: Final = 200
"""Counters that are listed at once; each is looked at in a transaction of its own."""
AFTER_A_FAILURE: Final = timedelta(minutes=1)


def marked(now: datetime) -> QuerySet[WindowUsage]:
    """Counters to be looked at."""
    return WindowUsage.objects.filter(look_at__lte=now)


def look_at_marked(clock: Callable[[], datetime], seconds: float) -> int:
    """Look at what was marked, for so many seconds at most; how many thresholds were told.

    Several at once do no harm. Raises ClockSkewed, and django's OperationalError.
    """
    told, until = 0, time.monotonic() + seconds
    while True:
        in_order = marked(clock()).order_by("look_at", "account_id", "starts_at")
        batch = list(in_order.values_list("account_id", "starts_at")[:BATCH])
        for account, starts_at in batch:
            if time.monotonic() > until:
                return told
            told += _look_safely(account, starts_at, clock())
        if len(batch) < BATCH:
            return told


def _look_safely(account: int, starts_at: datetime, now: datetime) -> bool:
    """One account whose facts cannot be read holds up no other."""
    try:
        return look(account, starts_at, now)
    except OperationalError:
        raise
    except (DatabaseError, ArithmeticError, LookupError, ValueError):
        logger.exception("the thresholds of account %s could not be looked at", account)
        counters = WindowUsage.objects.filter(account_id=account, starts_at=starts_at)
        counters.update(look_at=now + AFTER_A_FAILURE)
        return False


def look(account: int, starts_at: datetime, now: datetime) -> bool:
    """Look at one counter, if it is still marked and nobody else is at it; whether a threshold was told."""
    snapshot = _present(account, now)
    with transaction.atomic():
        free = marked(now).select_for_update(skip_locked=True)
        counter = free.filter(account_id=account, starts_at=starts_at).first()
        if counter is None or _is_stale(snapshot):
            return False  # in the second case it stays marked
        limits = _watched(snapshot, counter)
        crossing = newly_crossed(counter.tokens, limits, _told(counter))
        if crossing is not None:
            _tell(crossing, counter, snapshot.entitlement, now)
        WindowUsage.objects.filter(account_id=account, starts_at=starts_at).update(
            look_from=look_from(counter.tokens, limits) if snapshot.facts.active else 0,
            look_at=_look_next(counter, snapshot.entitlement, now),
            looked_catalogue=snapshot.catalogue.version,
        )
    return crossing is not None


def _present(account: int, now: datetime) -> Snapshot:
    """The account's facts and the catalogue as PostgreSQL has them now, from memory where it knows no later ones."""
    fences = _fences(account)
    reload_catalogue(fences.get(CATALOGUE, 1))
    return snapshots.reload(account, fences.get(account, 1), to_ms(now)).at(to_ms(now))


def _is_stale(snapshot: Snapshot) -> bool:
    """Whether a fact was changed since it was read; what changes from here on marks the counter again."""
    fences = _fences(snapshot.facts.account)
    is_account_stale = fences.get(snapshot.facts.account, 1) > snapshot.facts.version
    return is_account_stale or fences.get(CATALOGUE, 1) > snapshot.catalogue.version


def _fences(account: int) -> dict[int, int]:
    return dict(Fence.objects.filter(subject__in=[account, CATALOGUE]).values_list("subject", "changed"))


def _watched(snapshot: Snapshot, counter: WindowUsage) -> list[Watched]:
    """The limits of the counter's window; none where it is not the account's present one."""
    may, facts = snapshot.entitlement, snapshot.facts
    is_present = to_seconds(may.window.start) == to_seconds(counter.starts_at)
    if not (is_present and facts.active and may.included):
        return []
    of_both = Q(plan__code=may.plan.code) | Q(account=facts.account)
    percents = NoticeThreshold.objects.filter(of_both).order_by("percent").values_list("percent", flat=True).distinct()
    limits = [Watched(ThresholdCrossed.Of.INCLUDED, may.included, list(percents))]
    if may.overage is not None and may.overage.cap_tokens and may.quota is not None:
        limits.append(Watched(ThresholdCrossed.Of.CAP, may.quota, [HUNDRED_PERCENT]))
    return limits


def _told(counter: WindowUsage) -> list[Told]:
    rows = ThresholdCrossed.objects.filter(account=counter.account_id, window_starts_at=counter.starts_at)
    return [Told(*row) for row in rows.values_list("limit", "tokens", "percent")]


def _tell(crossing: Crossing, counter: WindowUsage, may: Entitlement, now: datetime) -> None:
    row = ThresholdCrossed.objects.create(
        account_id=counter.account_id,
        window_starts_at=counter.starts_at,
        limit=crossing.limit.of,
        tokens=crossing.limit.tokens,
        percent=crossing.percent,
        used=counter.tokens,
        crossed_at=now,
    )
    more: dict[str, Any] = {}
    if may.overage is not None and may.overage.cap_tokens:
        price = str(may.overage.price)
        more = {"overage_price": price, "currency": may.overage.currency, "cap_tokens": may.overage.cap_tokens}
    record(
        Happened.THRESHOLD_CROSSED,
        counter.account_id,
        crossing=row.pk,
        limit=row.limit,
        percent=row.percent,
        tokens=row.tokens,
        used=row.used,
        window_ends_at=counter.ends_at.isoformat(),
        **more,
    )


def _look_next(counter: WindowUsage, may: Entitlement, now: datetime) -> datetime | None:
    """When time alone changes what the counter is compared with."""
    if now < counter.starts_at:  # by this machine's clock the window has not begun
        return counter.starts_at
    return may.valid_until if may.valid_until < counter.ends_at else None
