"""What would cover a usage window that is going to need more than is included, at the least cost.

Another plan, token packs on top of the present one, or tokens above its quota. Where two cost the same it is the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from billing.rules.entitlements.entitlement import Entitlement, Facts, entitle
from billing.rules.entitlements.forecast import Forecast
from billing.rules.entitlements.plan_offers import NO_PLAN, PlanOffer, cheapest
from billing.rules.tokens.overage import OverageTerms, cost

MOST_PACKS = 10
"""Of one kind that are suggested: who needs more needs a plan."""


class Kind(StrEnum):
    PLAN = "plan"
    PACK = "pack"
    OVERAGE = "overage"


class PackOffer(NamedTuple):
    """A token pack as sold now; `ends_at`: where the tokens of one that is bought now lapse, None: with the window."""

    code: str
    name: str
    tokens: int
    price: Decimal
    currency: str
    ends_at: datetime | None


class Way(NamedTuple):
    """One way to cover the window, and what it costs: today, or of overage by the window's end."""

    kind: Kind
    plan: PlanOffer
    """The plan that one is on then."""
    amount: Decimal
    currency: str
    pack: PackOffer | None = None
    packs: int = 0
    cap_tokens: int | None = None
    """That has to be set, so that so much overage is sold."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The way, and why: what the window comes to, and what the present plan includes of it."""

    way: Way
    tokens: int
    included: int
    ends_at: datetime


def missing(entitlement: Entitlement, forecast: Forecast) -> int:
    """Tokens of the forecast that nothing includes; 0: the present plan suffices."""
    if entitlement.plan is NO_PLAN or forecast.included is None or forecast.included_until is None:
        return 0
    return max(forecast.tokens - forecast.included, 0)


def covering(
    facts: Facts, plans: Mapping[str, PlanOffer], current: PlanOffer, forecast: Forecast, available: Iterable[str]
) -> PlanOffer | None:
    """The cheapest of the plans that are `available` now, that includes the forecast and takes nothing away."""
    last = forecast.ends_at - timedelta.resolution
    passing = []
    for code in available:
        offer, included = plans[code], entitle(facts, plans, last, plan=code).included
        if (included is None or included >= forecast.tokens) and _takes_nothing_away(current, offer):
            passing.append(code)
    return cheapest(plans.values(), current, passing)


def _takes_nothing_away(current: PlanOffer, offer: PlanOffer) -> bool:
    rate = offer.requests_per_minute
    keeps_rate = rate is None or (current.requests_per_minute is not None and rate >= current.requests_per_minute)
    return keeps_rate and current.capabilities <= offer.capabilities


def with_packs(current: PlanOffer, packs: Iterable[PackOffer], tokens: int, ends_at: datetime) -> Way | None:
    """The cheapest number of packs of one kind that has the tokens, and holds until the window ends."""
    ways = []
    for pack in packs:
        number = -(-tokens // pack.tokens)
        holds = pack.ends_at is None or pack.ends_at >= ends_at
        if holds and number <= MOST_PACKS and pack.currency == current.terms.currency:
            ways.append(Way(Kind.PACK, current, number * pack.price, pack.currency, pack, number))
    return min(ways, key=lambda way: (way.amount, way.packs), default=None)


def with_overage(current: PlanOffer, terms: OverageTerms | None, tokens: int) -> Way | None:
    """So many tokens above the quota; None where none are sold."""
    if terms is None:
        return None
    raised = tokens if tokens > terms.cap_tokens else None
    return Way(Kind.OVERAGE, current, cost(tokens, terms.price, terms.currency), terms.currency, cap_tokens=raised)


def best(ways: Iterable[Way | None]) -> Way | None:
    """The cheapest way; None where it is what happens anyway: overage that the present cap lets pass."""
    order = list(Kind)
    found = min(
        (way for way in ways if way is not None), key=lambda way: (way.amount, order.index(way.kind)), default=None
    )
    is_so_already = found is not None and found.kind is Kind.OVERAGE and found.cap_tokens is None
    return None if is_so_already else found
