"""Plan changes: which way a change goes, what stands against it, and how far off its date is."""

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


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What a plan is compared by. ``price`` is for one interval, in ``currency``."""

    code: str
    rank: int
    """A higher rank is a higher plan, whatever it costs."""
    price: Decimal
    currency: str
    interval: Interval


class IncomparablePlans(Refused, ValueError):
    """The two plans cannot be exchanged for one another; ``field`` is the request's field to blame.

    Parameters: the codes of the plans ``target`` and ``current``.
    """

    field: ClassVar[str] = "target_plan"


class CurrencyMismatch(IncomparablePlans):
    """Parameters beside the plans: ``target_currency``, and the current plan's ``currency``."""

    code = "currency_mismatch"


class IntervalMismatch(IncomparablePlans):
    """Parameters beside the plans: ``target_interval``, and the current plan's ``interval``."""

    code = "interval_mismatch"


def decide(current: PlanTerms, target: PlanTerms) -> Direction:
    """By rank, then by price. A plan is the same as itself even where its price was edited since it was billed.

    Raises CurrencyMismatch or IntervalMismatch, also for one plan whose terms were edited: what was billed in one
    currency must never be prorated against a price in another.
    """
    if current.currency != target.currency:
        raise CurrencyMismatch(
            target=target.code, current=current.code, target_currency=target.currency, currency=current.currency
        )
    if current.interval != target.interval:
        raise IntervalMismatch(
            target=target.code, current=current.code, target_interval=target.interval, interval=current.interval
        )
    before, after = (current.rank, current.price), (target.rank, target.price)
    if current.code == target.code or before == after:
        return Direction.SAME
    return Direction.UPGRADE if after > before else Direction.DOWNGRADE


def blockers(in_use: Iterable[str], target_capabilities: Iterable[str]) -> list[str]:
    """The capabilities in use that the target plan lacks, sorted: while there are any, a downgrade is refused."""
    return sorted(set(in_use) - set(target_capabilities))


def days_until(now: datetime, date: datetime) -> int:
    """Difference of the UTC dates: 0 all day long on the date itself, negative after it."""
    return (as_utc(date).date() - as_utc(now).date()).days
