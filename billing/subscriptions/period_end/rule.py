"""The rule of renewing: what follows for one subscription when its period ends. Computed; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.catalogue.prices import Prices
from billing.models import BillingPeriod, Plan, Subscription
from billing.rules.periods import Period, nth_period
from billing.subscriptions.opening import follow_up


@dataclass(frozen=True, slots=True)
class Renewal:
    """What follows for one subscription."""

    subscription: Subscription
    opened: tuple[BillingPeriod, ...]
    """The periods to open, oldest first, those of the follow-up where there is one; none where it is not due."""
    plan: Plan
    """That of the last of them."""
    applies_schedule: bool = False
    ends_at: datetime | None = None
    """The subscription ends here."""
    follow_up: Subscription | None = None
    """The one on the default plan that follows it, not saved yet."""
    anchor: datetime | None = None
    """Where periods are counted from afterwards: another instant where the scheduled plan has another interval."""
    anchor_number: int = 0
    """Of the period that starts there."""
    kept_price: Decimal | None = None
    """What a period costs at most afterwards."""


def renewal(subscription: Subscription, last: BillingPeriod, now: datetime, price_at: Prices) -> Renewal:
    """The rule of renewing: a pure function of the subscription, its last period and the prices.

    A period follows for each that has ended by `now`, on the scheduled plan from its instant on, at the price of the
    moment it starts. Where that plan's interval is another one, periods are counted from there. `price_at` gives a
    plan's price at an instant, and the default plan. Raises ValueError where the next period would leave a gap or
    overlap the last one (law L7).
    """
    if last.ends_at <= now and (ends_at := subscription.ends_at) is not None:
        return ending(subscription, ends_at, now, price_at)
    plan, scheduled, applies = subscription.plan, subscription.scheduled_plan, False
    anchor, anchor_number = subscription.anchor, subscription.anchor_number
    kept = subscription.kept_price
    opened: list[BillingPeriod] = []
    number, start = last.number, last.ends_at
    while start <= now:
        number += 1
        if not applies and scheduled and subscription.scheduled_at and subscription.scheduled_at <= start:
            if scheduled.billed_every != plan.billed_every:
                anchor, anchor_number = start, number
            plan, applies, kept = scheduled, True, subscription.scheduled_kept_price
        period = nth_period(anchor, plan.billed_every, number - anchor_number)
        if period.start != start:
            raise ValueError(f"period {number} starts at {period.start}, not where the last one ended, at {start}")
        opened.append(_opened(subscription, number, period, plan, price_at, kept))
        start = period.end
    return Renewal(subscription, tuple(opened), plan, applies, None, None, anchor, anchor_number, kept)


def ending(subscription: Subscription, ends_at: datetime, now: datetime, price_at: Prices) -> Renewal:
    """The rule of ending a subscription: from there on another one follows, on the default plan, with its periods."""
    plan = price_at.default_plan if subscription.account.is_active else None
    if plan is None:
        return Renewal(subscription, (), subscription.plan, ends_at=ends_at)
    follows = follow_up(subscription, plan, ends_at)
    opened: list[BillingPeriod] = []
    while not opened or opened[-1].ends_at <= now:
        period = nth_period(follows.anchor, plan.billed_every, len(opened))
        opened.append(_opened(follows, len(opened), period, plan, price_at))
    follows.period_ends_at = opened[-1].ends_at
    return Renewal(subscription, tuple(opened), plan, ends_at=ends_at, follow_up=follows)


def _opened(
    subscription: Subscription,
    number: int,
    period: Period,
    plan: Plan,
    price_at: Prices,
    kept: Decimal | None = None,
) -> BillingPeriod:
    """At the prices of the moment at which it starts, or at a price that was `kept`."""
    opened = BillingPeriod.of(subscription, number, period, plan, price_at(plan, period.start, kept))
    opened.overage_price = price_at.overage(plan, period.start)
    return opened
