"""Which usage window an instant belongs to that may lie before the present one. Pure rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from billing.rules.entitlements.entitlement import Facts, facts_at
from billing.rules.entitlements.plan_offers import PlanOffer, offer_of
from billing.rules.periods import Period
from billing.rules.usage_window import quota_window, window_on


class Windows:
    """The windows of one account, as its facts tell them at `now`, with those that are `known` to have begun before.

    Facts tell the present window, and the one in which the plan was last changed. A window before these is one that is
    known, or else what the present plan's would be, as far as it lies beside all others: windows never overlap (L9).
    """

    def __init__(
        self, facts: Facts, plans: Mapping[str, PlanOffer], now: datetime, known: Sequence[Period] = ()
    ) -> None:
        self._facts = facts_at(facts, plans, now)
        self._plan = offer_of(self._facts.plan, plans)
        self.present = window_on(self._facts, self._plan, now)
        self._told = [self.present, *self._former()]
        self._known = sorted([*known, *self._told], key=lambda window: window.start)

    def is_told(self, at: datetime) -> bool:
        """Whether the facts alone tell the window."""
        return any(window.contains(at) for window in self._told)

    def at(self, at: datetime) -> Period:
        """The window of an instant up to `now`."""
        for window in self._told:
            if window.contains(at):
                return window
        begun = [window for window in self._known if window.start <= at]
        # One that was cut short by a change of plan is followed by the window that began there.
        if begun and begun[-1].contains(at):
            return Period(begun[-1].start, self._until(begun[-1].end, at))
        window = quota_window(self._plan.quota_window, self._facts.anchor, at)
        ended = [each.end for each in begun if each.end <= at]
        return Period(max([window.start, *ended]), self._until(window.end, at))

    def _until(self, end: datetime, at: datetime) -> datetime:
        return min([end, *(each.start for each in self._known if each.start > at)])

    def _former(self) -> list[Period]:
        since, until = self._facts.former_quota_window_from, self._facts.former_quota_window_until
        return [Period(since, until)] if since is not None and until is not None and since < until else []
