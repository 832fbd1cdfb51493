"""Admits and voids calls: the entitlement as limits, one script, and one reload when the facts were stale."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings

from billing import fencing, snapshots
from billing.credentials import Caller
from billing.entitlement import Metered
from billing.models.fences import CATALOGUE, Fence
from billing.periods import Period
from billing.snapshots import Catalogue, Snapshot
from ratelimit import limiter
from ratelimit.keys import AccountKeys, shard_of
from ratelimit.limits import Decision, Limit, Outcome, Standing, Take
from ratelimit.store import RedisUnreachable, ServerChanged, store
from usage import events
from usage.events import Event
from usage.models import WindowUsage
from usage.quota import MINUTE, minute_limit, quota_limit
from usage.shard_locks import telling

logger = logging.getLogger(__name__)
TRIES = 5
"""At first touch facts are loaded, stale facts are reloaded once, a skewed clock is corrected once; the rest is for an
account whose facts change again and again while they are read. Then 503."""
_tellers = tuple(threading.Lock() for _ in range(256))


class Unavailable(Exception):
    """No decision can be made now: an engine is out of reach, or the facts change faster than they are read."""


class Charge(NamedTuple):
    """What a call is to be charged for. Without a feature it counts against the minute only."""

    feature: Metered | None = None
    source: str = events.GATEWAY
    metadata: dict[str, Any] | None = None
    idempotency_key: str = ""
    fingerprint: bytes = b""
    invalid_key: str = ""
    """What is wrong with the request's Idempotency-Key: it is going to be refused, and only counts as a request."""


@dataclass(slots=True)
class Admission:
    """One decision on one call, and what is known from it; `standings` are those after a void, if there was one."""

    snapshot: Snapshot
    charge: Charge
    decision: Decision
    entitled: bool
    event: Event | None
    receipt: limiter.Receipt | None
    standings: tuple[Standing, ...] = field(default=())
    cost: int = 0

    @property
    def admitted(self) -> bool:
        return self.entitled and self.decision.outcome in (Outcome.ADMITTED, Outcome.REPLAYED)

    @property
    def replayed(self) -> bool:
        return self.decision.outcome is Outcome.REPLAYED

    @property
    def quota(self) -> Standing:
        return self.standings[-1]

    @property
    def minute(self) -> Standing | None:
        return self.standings[0] if self.standings[0].limit.name == MINUTE else None

    @property
    def decided_at(self) -> datetime:
        return datetime.fromtimestamp(self.decision.now_ms / 1000, UTC)


def admit(caller: Caller, charge_of: Callable[[Catalogue], Charge]) -> Admission:
    """Decide on one call and charge it in the same step; `charge_of` is asked again when the catalogue was stale.

    A feature the plan lacks consumes nothing. Raises CredentialsGone, Unavailable; a refusal is an Admission that is
    not `admitted`. The facts a refusal rests on are never stale: the script has compared their versions.
    """
    now_ms = time.time_ns() // 1_000_000
    try:
        for _ in range(TRIES):
            snapshot = snapshots.snapshot(caller.account, now_ms)
            caller.confirm(snapshot.facts.version, active=snapshot.facts.active)
            if snapshot.told_epoch != store().epoch:
                _tell(snapshot)
            try:
                answer = _ask(snapshot, caller, charge_of(snapshot.catalogue), now_ms)
            except ServerChanged:
                continue
            if isinstance(answer, limiter.StaleFacts):
                _refresh(snapshot, answer, now_ms)
            elif answer.decision.outcome is Outcome.SKEWED:
                logger.warning("this clock differs from Redis' by %d ms", now_ms - answer.decision.now_ms)
                now_ms = answer.decision.now_ms
            else:
                return answer
    except RedisUnreachable as error:
        logger.warning("no decision for account %s: %s", caller.account, error)
        raise Unavailable from error
    logger.warning("no decision for account %s: its facts changed %d times in a row", caller.account, TRIES)
    raise Unavailable


def _ask(snapshot: Snapshot, caller: Caller, charge: Charge, now_ms: int) -> Admission | limiter.StaleFacts:
    feature = charge.feature
    entitled = feature is None or snapshot.entitlement.includes(feature)
    minute, quota = minute_limit(snapshot.entitlement), quota_limit(snapshot.entitlement)
    cost = feature.tokens if feature is not None and entitled else 0
    takes = [Take(quota, cost)]
    if minute is not None:
        takes.insert(0, Take(minute, 1 if entitled else 0))
    event_id = events.mint(now_ms)
    event: Event | None = None
    receipt: limiter.Receipt | None = None
    if feature is not None and entitled:
        event = _event(event_id, snapshot, caller, charge, quota, now_ms)
        if charge.idempotency_key:
            receipt = limiter.Receipt(snapshot.keys.receipt(charge.idempotency_key), charge.fingerprint)
    answer = limiter.admit(
        store(),
        snapshot.keys,
        snapshot.versions,
        takes,
        charged_at_ms=now_ms,
        event=event_id,
        audit=event.encode() if event else b"",
        receipt=receipt,
        now_ms=now_ms if settings.RATELIMIT_CLOCK == "process" else None,
        epoch=snapshot.told_epoch,
    )
    if isinstance(answer, limiter.StaleFacts):
        return answer
    spent = cost if answer.outcome is Outcome.ADMITTED else 0
    if answer.outcome is Outcome.REPLAYED:
        event = events.decode(answer.first_run)
    return Admission(snapshot, charge, answer, entitled, event, receipt, answer.standings, spent)


def _event(event_id: str, snapshot: Snapshot, caller: Caller, charge: Charge, quota: Limit, now_ms: int) -> Event:
    assert charge.feature is not None
    starts_at_ms = quota.starts_at_ms or 0
    return Event(
        charge=event_id,
        kind=events.CHARGE,
        account=snapshot.facts.account,
        window_start=starts_at_ms // 1000,
        window_end=quota.ends_at_ms // 1000,
        feature=charge.feature.code,
        tokens=charge.feature.tokens,
        at_ms=now_ms,
        source=charge.source,
        key_prefix=caller.key_prefix,
        metadata=charge.metadata,
    )


def _refresh(snapshot: Snapshot, stale: limiter.StaleFacts, now_ms: int) -> None:
    """Reload what is older than Redis knows; what Redis knows too little of is told again."""
    facts, catalogue = snapshot.facts, snapshot.catalogue
    if stale.account < facts.version or stale.catalogue < catalogue.version:
        snapshot.told_epoch = 0
    if stale.catalogue > catalogue.version and snapshots.reload_catalogue(stale.catalogue).version < stale.catalogue:
        fencing.lift(CATALOGUE, stale.catalogue)
        snapshots.reload_catalogue(stale.catalogue + 1)
    if stale.account > facts.version:
        fresh = snapshots.reload(facts.account, stale.account, now_ms)
        if fresh.facts.version < stale.account:
            fencing.lift(facts.account, stale.account)
            snapshots.reload(facts.account, stale.account + 1, now_ms)


def _tell(snapshot: Snapshot) -> None:
    """Make the server know the versions of this snapshot and PostgreSQL's counter of its window."""
    account, window, epoch = snapshot.facts.account, snapshot.entitlement.window, store().epoch
    # One thread tells for all that came upon the same snapshot.
    with _tellers[account % len(_tellers)]:
        if snapshot.told_epoch == epoch:
            return
        _tell_counter(snapshot, account, window)
        snapshot.told_epoch = epoch


def _tell_counter(snapshot: Snapshot, account: int, window: Period) -> None:
    with telling([shard_of(account)]):
        row = WindowUsage.objects.filter(account_id=account, starts_at=window.start).first()
        counters = [] if row is None else [counter(row, snapshot.keys)]
        limiter.tell(store(), snapshot.keys, _newest_versions(snapshot), counters)


def _newest_versions(snapshot: Snapshot) -> limiter.Versions:
    """A push that a lost server took with it is made good here, or these facts would look fresh and be older."""
    facts, catalogue = snapshot.facts, snapshot.catalogue
    known = dict(Fence.objects.filter(subject__in=[facts.account, CATALOGUE]).values_list("subject", "version"))
    newest = max(known.get(facts.account, 1), facts.version), max(known.get(CATALOGUE, 1), catalogue.version)
    return limiter.Versions(*(str(version).encode() for version in newest))


def counter(row: WindowUsage, keys: AccountKeys) -> limiter.Counter:
    """PostgreSQL's counter as Redis is told it."""
    starts_at_ms, ends_at_ms = (round(at.timestamp() * 1000) for at in (row.starts_at, row.ends_at))
    return limiter.Counter(keys.quota(starts_at_ms), row.tokens, row.revision, ends_at_ms)
