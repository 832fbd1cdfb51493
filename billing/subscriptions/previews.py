"""What a change of plan would cost: the account's own, or of a plan, a cycle and an instant that are given."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from billing.models import BillingPeriod, Coupon, Plan
from billing.rules.periods import Period, as_utc
from billing.rules.plan_change import IntervalMismatch
from billing.rules.refused import Refused
from billing.subscriptions.coupons import discounts
from billing.subscriptions.current import period_at
from billing.subscriptions.quotes import Quote, opening_quote, quote_with, with_trial
from billing.subscriptions.refusals import NoSubscription


class InvalidCycle(Refused, ValueError):
    """The billing cycle that was asked about is none: it ends before its `start`, or is too short to count by day."""


def calculate_proration(
    account: int,
    target: Plan,
    now: datetime,
    *,
    current: Plan | None = None,
    cycle_start: datetime | None = None,
    cycle_end: datetime | None = None,
    at: datetime | None = None,
    trial: bool = True,
    coupon: Coupon | None = None,
) -> Quote:
    """A quote as of `at` (now unless given) for the account's period of then, or for a plan and a cycle that are given.

    A `current` that is given counts at its list price; the account's own plan at the price its period was sold for.
    With a `coupon` it is as if the account had just redeemed that. Of the own period and plan the amounts are those
    that a change at the instant bills, as far as is known now; with the target's `trial`, where the account gets it.
    Writes nothing but the subscription of an account that has none yet. Raises InvalidCycle, OnlyAtPeriodEnd.
    """
    redemption = discounts.active(account) if coupon is None else discounts.as_if_redeemed(account, coupon, now)
    try:
        period = period_at(account, as_utc(at or now), now, redemption)
    except NoSubscription:
        opening = opening_quote(account, target, as_utc(at or now), redemption)
        period = opening.period
        if current is None and cycle_start is cycle_end is None:
            return with_trial(opening) if trial else opening
    cycle = _cycle(cycle_start or period.starts_at, cycle_end or period.ends_at)
    if current is not None and current.billed_every != target.billed_every:
        raise IntervalMismatch(
            target=target.code,
            current=current.code,
            target_interval=target.billed_every,
            interval=current.billed_every,
        )
    is_own = current is None and cycle == period.period
    if not is_own:
        plan, price = (period.plan, period.price) if current is None else (current, current.price)
        given = BillingPeriod.of(period.subscription, period.number, cycle, plan, price)
        if current is None:
            given.coupon, given.discount = period.coupon, period.discount
        period = given
    found = quote_with(redemption, period, target, at or now)
    return with_trial(found) if trial and is_own else found


def _cycle(start: datetime, end: datetime) -> Period:
    if start >= end:
        raise InvalidCycle("cycle_ends_first", start=start, end=end)
    cycle = Period(start, end)
    if cycle.days_total == 0 and settings.PRORATION_GRANULARITY == "day":
        raise InvalidCycle("cycle_within_a_day")
    return cycle
