"""What a change of plan would cost: for the caller's own subscription, or for a plan and a cycle that are given."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from billing.models import Plan
from billing.rules.money import in_currency
from billing.rules.periods import Period, as_utc
from billing.rules.plan_change import Direction, decide
from billing.rules.proration import Proration, prorate
from billing.rules.refused import Refused
from billing.subscriptions import changes
from billing.subscriptions.current import current_subscription


class InvalidCycle(Refused, ValueError):
    """The billing cycle that was asked about is none: it ends before its `start`, or is too short to count by day."""


@dataclass(frozen=True, slots=True)
class Preview:
    """The full prices of the two plans, and the proration between them as of `at`."""

    current_cost: Decimal
    target_cost: Decimal
    proration: Proration
    direction: Direction
    at: datetime


def calculate_proration(
    account: int,
    target: Plan,
    now: datetime,
    *,
    current: Plan | None = None,
    cycle_start: datetime | None = None,
    cycle_end: datetime | None = None,
    at: datetime | None = None,
) -> Preview:
    """What the change would cost at an instant (now unless `at` says another); changes nothing.

    Without `current` it is the account's own plan at the price its period was sold for, and with that period's cycle
    the amounts are those `lifecycle.upgrade` charges at the instant. A `current` that is given counts at list price.
    Raises InvalidCycle, IncomparablePlans.
    """
    at = at or now
    own = current_subscription(account, now).period
    cycle = _cycle(cycle_start or own.starts_at, cycle_end or own.ends_at)
    held = own.terms if current is None else current.terms
    if current is None and cycle == own.period:
        direction, proration = changes.preview(own, target, at)
    else:
        direction = decide(held, target.terms)
        proration = prorate(held.price, target.price, cycle, at, held.currency, settings.PRORATION_GRANULARITY)
    current_cost, target_cost = (in_currency(price, held.currency) for price in (held.price, target.price))
    return Preview(current_cost, target_cost, proration, direction, as_utc(at))


def _cycle(start: datetime, end: datetime) -> Period:
    if start >= end:
        raise InvalidCycle("cycle_ends_first", start=start, end=end)
    cycle = Period(start, end)
    if cycle.days_total == 0 and settings.PRORATION_GRANULARITY == "day":
        raise InvalidCycle("cycle_within_a_day")
    return cycle
