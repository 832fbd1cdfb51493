"""Which billing periods close in a renewal, and which usage windows end in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from billing.models import BillingPeriod, Plan
from billing.rules.periods import Period
from billing.rules.usage_window import WindowHolder, kept_window, window_on
from billing.subscriptions.period_end.rule import Renewal


@dataclass(frozen=True, slots=True)
class Holder:
    """A subscription as usage windows are counted for it: see `usage_window.WindowHolder`."""

    anchor: datetime
    former_quota_window_from: datetime | None
    former_quota_window_until: datetime | None


@dataclass(frozen=True, slots=True)
class Closing:
    """A billing period that ends."""

    account: int
    holder: WindowHolder
    period: BillingPeriod
    plan: Plan
    """That of its end."""
    ends_at: datetime
    """Its own end, or where its subscription ends before."""
    ends_window: bool
    """What follows begins a usage window, whether or not the present one would have gone on."""

    def windows(self) -> Iterator[Period]:
        """The usage windows that end in it: after its start, and by its end."""
        at = self.period.starts_at
        while at < self.ends_at:
            window = window_on(self.holder, self.plan, at)
            if window.end <= self.ends_at:
                yield window
            elif self.ends_window:
                yield Period(window.start, self.ends_at)
            at = window.end


def closings(renewed: Renewal, last: BillingPeriod) -> Iterator[Closing]:
    """The periods that a renewal closes, oldest first; `last` is the one opened last before it."""
    subscription = renewed.subscription
    if not (renewed.opened or renewed.ends_at):
        return
    account, scheduled_at = subscription.account_id, subscription.scheduled_at
    holder: WindowHolder = subscription
    plan, ends_at = subscription.plan, renewed.ends_at or last.ends_at
    for period in (last, *renewed.opened[:-1]):
        if period is not last:
            plan, ends_at = period.plan, period.ends_at
        changes = renewed.applies_schedule and ends_at == scheduled_at
        is_end = period is last and renewed.ends_at is not None
        yield Closing(account, holder, period, plan, ends_at, ends_window=changes or is_end)
        if is_end and renewed.follow_up is not None:
            holder = renewed.follow_up
        elif changes:
            holder = _after_schedule(renewed)


def _after_schedule(renewed: Renewal) -> Holder:
    subscription = renewed.subscription
    target, at = subscription.scheduled_plan, subscription.scheduled_at
    assert target is not None and at is not None
    kept = kept_window(subscription, subscription.plan, target, at, with_period=True)
    return Holder(renewed.anchor or subscription.anchor, *kept)
