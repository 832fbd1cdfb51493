"""One call as it is decided on: what it is charged for, what is asked of the limits, and what came of it."""

from __future__ import annotations

from datetime import datetime

from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlement import MINUTE
from billing.rules.instants import from_ms
from ratelimit import limiter
from ratelimit.limits import Decision, Outcome, Standing
from usage.log.batch import decode
from usage.log.events import Event
from usage.metering.call import Call

_ADMITTED = Outcome.ADMITTED  # looking it up in the enumeration takes longer than comparing it


class Admission:
    """One decision on one call, and what is known from it; `standings` are those after a void, if there was one."""

    def __init__(self, call: Call, decision: Decision, *, by_redis: bool) -> None:
        self.call = call
        self.charge = call.charge
        self.decision = decision
        self.standings = decision.standings
        self.by_redis = by_redis
        charged = decision.outcome is _ADMITTED
        self.cost = call.kind.takes[-1].amount if charged else 0
        self.entitled = call.kind.entitled
        self.admitted = self.entitled and (charged or self.replayed)
        # Before the view runs: a first run's event that cannot be read could not be voided either.
        self._first_run = decode(decision.first_run) if self.replayed else None

    @property
    def snapshot(self) -> Snapshot:
        return self.call.kind.snapshot

    @property
    def receipt(self) -> limiter.Receipt | None:
        return self.call.receipt

    @property
    def event(self) -> Event | None:
        """What was charged; a replay is under the event of its first run."""
        return self._first_run or self.call.event

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
        return from_ms(self.decision.now_ms)
