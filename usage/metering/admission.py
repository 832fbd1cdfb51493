"""One decision on one call, and what is known from it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from billing.entitlements.callers import Caller
from billing.entitlements.snapshots import Snapshot
from billing.rules.entitlements.entitlement import MINUTE, QUOTA
from billing.rules.instants import from_ms
from ratelimit.limits import Decision, KeptAnswer, Outcome, Standing
from usage.log.batch import decode
from usage.log.events import Event
from usage.metering.budgets import after_void
from usage.metering.call import Call

if TYPE_CHECKING:
    from usage.metering.reservations.in_view import ViewReservation

_ADMITTED = Outcome.ADMITTED  # looking it up in the enumeration takes longer than comparing it


class Admission:
    """One decision on one call. `standings` and `budgets` are those after a void, if there was one.

    `admitted`: the view is to be run. `replayed`: an earlier run of the request under its Idempotency-Key was charged,
    and either its `answer` is given again, or the view runs again, uncharged.
    """

    def __init__(self, call: Call, decision: Decision, *, by_redis: bool) -> None:
        self.call = call
        self.request = call.request
        self.decision = decision
        self.standings = decision.standings
        self.budgets = decision.budgets
        self.by_redis = by_redis
        self.entitled = call.template.entitled
        outcome = decision.outcome
        self.charged = outcome is _ADMITTED
        self.cost = call.template.cost if self.charged else 0
        self.admitted = self.entitled and (self.charged or outcome is Outcome.RERUN)
        self.replayed = not self.charged and outcome in (Outcome.RERUN, Outcome.REPLAYED)
        self.pays_by_units = False
        self.reservations: list[ViewReservation] = []
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

    @property
    def caller(self) -> Caller:
        return self.call.caller

    def reserve(self, feature: str = "", **asked: Any) -> ViewReservation:
        """Hold what the call may cost at most, before the work; `usage.metering.reservations.in_view` says how.

        `model` and `units`, or `tokens`; `run`, `parent`, `expires_in` seconds. The call's fixed price is given back.
        """
        from usage.metering.reservations import in_view

        return in_view.reserve(self, feature, **asked)

    def note_units(self) -> None:
        """What the call costs by its reservations, as far as that is known by now: what they hold, or were charged.

        What a child has is within what its parent holds, until the parent is settled: it is charged besides then.
        """
        still_open = {reservation.id for reservation in self.reservations if reservation.settlement is None}
        self.cost = sum(
            reservation.bound if reservation.settlement is None else reservation.settlement.charged
            for reservation in self.reservations
            if reservation.parent not in still_open
        )
        own = [reservation for reservation in self.reservations if not reservation.parent]
        settled = [reservation.settlement.used for reservation in own if reservation.settlement is not None]
        if settled:
            self.note_used(settled[-1])

    def note_void(self, used: int) -> None:
        """The charge was given back: what its quota has used since."""
        if self.budgets:
            self.budgets = after_void(self.budgets, self.cost)
        self.cost = 0
        self.note_used(used)

    def note_used(self, used: int) -> None:
        """What its quota has used since it was decided on, by tokens that the call has moved."""
        quota = self.quota
        self.standings = tuple(
            standing._replace(used=used) if standing is quota else standing for standing in self.standings
        )
