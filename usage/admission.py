"""One call as it is decided on: what it is charged for, what is asked of the limits, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from billing.credentials import Caller
from billing.entitlement import MINUTE, Metered
from billing.snapshots import Snapshot
from ratelimit import limiter
from ratelimit.keys import receipt_digest
from ratelimit.limits import Decision, Outcome, Standing, Take
from usage import events
from usage.events import Event, instant


class Charge(NamedTuple):
    """What a call is to be charged for. Without a feature it counts against the minute only."""

    feature: Metered | None = None
    source: str = events.GATEWAY
    metadata: dict[str, Any] | None = None
    idempotency_key: str = ""
    fingerprint: bytes = b""
    invalid_key: str = ""
    """What is wrong with the request's Idempotency-Key: it is going to be refused, and only counts as a request."""


class Call(NamedTuple):
    """What is asked about one call: it takes of the minute, where that is limited, and of the quota, which is last.

    `id` is that of its event, minted before anybody decides. Only a call that is charged has an `event`.
    """

    id: str
    snapshot: Snapshot
    charge: Charge
    entitled: bool
    takes: tuple[Take, ...]
    event: Event | None
    receipt: limiter.Receipt | None
    now_ms: int

    @property
    def cost(self) -> int:
        return self.takes[-1].amount


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
    by_redis: bool = True

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
        return instant(self.decision.now_ms)


def prepare(event_id: str, snapshot: Snapshot, caller: Caller, charge: Charge, now_ms: int) -> Call:
    """The call as the present facts make it. A feature that the plan lacks takes nothing of any limit."""
    entitlement, feature = snapshot.entitlement, charge.feature
    entitled = feature is None or entitlement.includes(feature)
    *minute, quota = entitlement.limits
    if feature is None or not entitled:
        takes = (*(Take(limit, int(entitled)) for limit in minute), Take(quota, 0))
        return Call(event_id, snapshot, charge, entitled, takes, None, None, now_ms)
    digest, receipt = "", None
    if charge.idempotency_key:
        digest = receipt_digest(charge.idempotency_key)
        receipt = limiter.Receipt(snapshot.keys.receipt_of(digest), charge.fingerprint)
    event = Event(
        charge=event_id,
        kind=events.CHARGE,
        account=snapshot.facts.account,
        window_start=(quota.starts_at_ms or 0) // 1000,
        window_end=quota.ends_at_ms // 1000,
        feature=feature.code,
        tokens=feature.tokens,
        at_ms=now_ms,
        source=charge.source,
        key_prefix=caller.key_prefix,
        metadata=charge.metadata,
        receipt=digest,
        fingerprint=charge.fingerprint.decode() if receipt else "",
    )
    cost = Take(quota, feature.tokens)
    takes = (Take(minute[0], 1), cost) if minute else (cost,)
    return Call(event_id, snapshot, charge, True, takes, event, receipt, now_ms)


def conclude(call: Call, decision: Decision, *, by_redis: bool) -> Admission:
    """What a decision means for the call; a replay is under the event of its first run."""
    event = events.decode(decision.first_run) if decision.outcome is Outcome.REPLAYED else call.event
    spent = call.cost if decision.outcome is Outcome.ADMITTED else 0
    return Admission(
        call.snapshot, call.charge, decision, call.entitled, event, call.receipt, decision.standings, spent, by_redis
    )
