"""How many tokens of a usage window cost nothing extra, looked back on from its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from billing.rules.entitlements.entitlement import QUOTA, Facts, Override, entitle
from billing.rules.entitlements.plan_offers import PlanOffer
from billing.rules.periods import Period


class HeldQuota(NamedTuple):
    """A plan's quota since an instant; None is unlimited."""

    since: datetime
    quota: int | None


class HeldOverride(NamedTuple):
    """An override of the quota while it held, also one that was edited or deleted since."""

    since: datetime
    until: datetime | None
    maximum: int | None

    def holds(self, at: datetime) -> bool:
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True)
class Past:
    """What held for an account on one plan. Quotas come oldest first, overrides newest first."""

    facts: Facts
    offer: PlanOffer
    quotas: Sequence[HeldQuota] = ()
    overrides: Sequence[HeldOverride] = ()

    def included(self, stretch: Period) -> int | None:
        """Of a window, or a part of it: the largest quota that held at any time, and top-ups as they count at its end.

        None: at some time nothing was limited.
        """
        last = stretch.end - timedelta.resolution
        edges = [quota.since for quota in self.quotas]
        edges += [edge for held in self.overrides for edge in (held.since, held.until) if edge is not None]
        instants = {stretch.start, *(edge for edge in edges if stretch.contains(edge))}
        held = [self._quota(at, topped_up=False) for at in instants]
        known = [quota for quota in held if quota is not None]
        if len(known) < len(held):
            return None
        with_top_ups, without = self._quota(last, topped_up=True), self._quota(last, topped_up=False)
        return max(known) + (with_top_ups or 0) - (without or 0)

    def _quota(self, at: datetime, *, topped_up: bool) -> int | None:
        overrides = tuple(Override(QUOTA, held.maximum) for held in self.overrides if held.holds(at))
        facts = replace(self.facts, overrides=overrides, top_ups=self.facts.top_ups if topped_up else ())
        offer = replace(self.offer, monthly_token_quota=self._of_plan(at))
        return entitle(facts, {offer.code: offer}, at).included

    def _of_plan(self, at: datetime) -> int | None:
        """At an instant before the history begins, the oldest quota in it."""
        held = [quota for quota in self.quotas if quota.since <= at] or list(self.quotas[:1])
        return held[-1].quota if held else self.offer.monthly_token_quota
