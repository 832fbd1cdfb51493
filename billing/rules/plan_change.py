"""Plan changes: which way a change goes and when it can, what stands against it, and how far off its date is."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar

from billing.rules.periods import Interval, as_utc
from billing.rules.refused import Refused


class Direction(StrEnum):
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    SAME = "same"


class UpgradeMode(StrEnum):
    """How customers get to a plan from a lower one."""

    PRORATE = "prorate"
    """Now; the period stays, and its rest is charged."""
    FULL_PERIOD = "full_period"
    """Now; a period begins, and it is charged in full."""
    NEXT_PERIOD = "next_period"
    """When the present period ends."""


class Available(StrEnum):
    """How an account can get to a plan."""

    NOW = "now"
    AT_PERIOD_END = "at_period_end"
    BY_STAFF = "by_staff"


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What a plan is compared by. ``price`` is for one interval, in ``currency``."""

    code: str
    rank: int
    """A higher rank is a higher plan, whatever it costs."""
    price: Decimal
    currency: str
    interval: Interval
    upgrade_mode: str = UpgradeMode.PRORATE


class OnlyAtPeriodEnd(Refused, ValueError):
    """The one plan can only follow the other when its period ends; ``field`` is the request's field to blame.

    Parameters: the codes of the plans ``target`` and ``current``.
    """

    field: ClassVar[str] = "target_plan"


class CurrencyMismatch(OnlyAtPeriodEnd):
    """Parameters beside the plans: ``target_currency``, and the current plan's ``currency``."""

    code = "currency_mismatch"


class IntervalMismatch(OnlyAtPeriodEnd):
    """Parameters beside the plans: ``target_interval``, which is shorter, and the current plan's ``interval``."""

    code = "interval_mismatch"


class NextPeriod(OnlyAtPeriodEnd):
    """The target's upgrade mode says so."""

    code = "next_period"


def decide(current: PlanTerms, target: PlanTerms) -> Direction:
    """Which way a change goes that is made now: by rank, then by price; of another interval by rank alone.

    A plan is the same as itself even where its price was edited since it was billed. Raises OnlyAtPeriodEnd: for
    another currency, as what was billed in one must never be prorated against a price in another; for a shorter
    interval; and for an upgrade to a plan whose mode is `next_period`.
    """
    if current.currency != target.currency:
        raise CurrencyMismatch(
            target=target.code, current=current.code, target_currency=target.currency, currency=current.currency
        )
    if target.interval.months < current.interval.months:
        raise IntervalMismatch(
            target=target.code, current=current.code, target_interval=target.interval, interval=current.interval
        )
    direction = _direction(current, target)
    if direction is Direction.UPGRADE and target.upgrade_mode == UpgradeMode.NEXT_PERIOD:
        raise NextPeriod(target=target.code, current=current.code)
    return direction


def _direction(current: PlanTerms, target: PlanTerms) -> Direction:
    if current.code == target.code:
        return Direction.SAME
    if current.interval != target.interval:
        return Direction.UPGRADE if target.rank >= current.rank else Direction.DOWNGRADE
    before, after = (current.rank, current.price), (target.rank, target.price)
    if before == after:
        return Direction.SAME
    return Direction.UPGRADE if after > before else Direction.DOWNGRADE


def opens_period(current: PlanTerms, target: PlanTerms, direction: Direction) -> bool:
    """Whether a change now begins a period, charged in full; or else keeps the present one and charges its rest."""
    full = direction is Direction.UPGRADE and target.upgrade_mode == UpgradeMode.FULL_PERIOD
    return full or current.interval != target.interval


def available(current: PlanTerms, target: PlanTerms) -> Available | None:
    """How a customer gets from the one plan to the other; None where they are the same.

    Neither of two plans of equal rank and price is an upgrade, so only staff exchange them.
    """
    try:
        direction = decide(current, target)
    except OnlyAtPeriodEnd:
        return Available.AT_PERIOD_END
    if direction is Direction.SAME:
        return None if current.code == target.code else Available.BY_STAFF
    return Available.NOW if direction is Direction.UPGRADE else Available.AT_PERIOD_END


def blockers(in_use: Iterable[str], target_capabilities: Iterable[str]) -> list[str]:
    """The capabilities in use that the target plan lacks, sorted: while there are any, a downgrade is refused."""
    return sorted(set(in_use) - set(target_capabilities))


def days_until(now: datetime, date: datetime) -> int:
    """Difference of the UTC dates: 0 all day long on the date itself, negative after it."""
    return (as_utc(date).date() - as_utc(now).date()).days
