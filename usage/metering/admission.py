"""One decision on one call, and what is known from it."""

from __future__ import annotations

from datetime import datetime

from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlement import MINUTE, QUOTA
from billing.rules.instants import from_ms
from ratelimit.limits import Decision, KeptAnswer, Outcome, Standing
from usage.log.batch import decode
from usage.log.events import Event
from usage.metering.call import Call

_ADMITTED = Outcome.ADMITTED  # looking it up in the enumeration takes longer than comparing it


class Admission:
    """One decision on one call. `standings` are those after a void, if there was one.

    `admitted`: the view is to be run. `replayed`: an earlier run of the request under its Idempotency-Key was charged,
    and either its `answer` is given again, or the view runs again, uncharged.
    """

    def __init__(self, call: Call, decision: Decision, *, by_redis: bool) -> None:
        self.call = call
        self.request = call.request
        self.decision = decision
        self.standings = decision.standings
        self.by_redis = by_redis
        self.entitled = call.template.entitled
        outcome = decision.outcome
        self.charged = outcome is _ADMITTED
        self.cost = call.template.cost if self.charged else 0
        self.admitted = self.entitled and (self.charged or outcome is Outcome.RERUN)
        self.replayed = not self.charged and outcome in (Outcome.RERUN, Outcome.REPLAYED)
        # Before the view runs: an event that cannot be read could not be voided either.
        self._first_run = decode(decision.audit) if self.replayed else None

    @property
    def snapshot(self) -> Snapshot:
        return self.call.snapshot

    @property
    def event(self) -> Event | None:
        """What the call is charged as; under a key that is known, what its first run was charged as."""
        return self._first_run or self.call.event

    @property
    def answer(self) -> KeptAnswer | None:
        """What is given again instead of running the view."""
        return self.decision.answer if self.decision.outcome is Outcome.REPLAYED else None

    def standing(self, name: str) -> Standing | None:
        """That of the limit of this name; None where the account has none of it."""
        return next((standing for standing in self.standings if standing.limit.name == name), None)

    @property
    def quota(self) -> Standing:
        standing = self.standing(QUOTA)
        assert standing is not None
        return standing

    @property
    def minute(self) -> Standing | None:
        return self.standing(MINUTE)

    @property
    def decided_at(self) -> datetime:
        return from_ms(self.decision.now_ms)

    def note_void(self, used: int) -> None:
        """The charge was given back: what its quota has used since."""
        self.cost = 0
        quota = self.quota
        self.standings = tuple(
            standing._replace(used=used) if standing is quota else standing for standing in self.standings
        )
