"""Plans as they are sold: which one customers have without choosing, and which would be the cheapest for one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from billing.rules.periods import MONTH
from billing.rules.plan_change import PlanTerms
from billing.rules.tokens.budgets import NONE, Budgets
from billing.rules.usage_window import CALENDAR_MONTH


@dataclass(frozen=True, slots=True)
class PlanOffer:
    """A plan as sold now. `None` of a quota or rate means unlimited."""

    terms: PlanTerms
    name: str
    monthly_token_quota: int | None
    requests_per_minute: int | None
    capabilities: frozenset[str]
    quota_window: str = CALENDAR_MONTH
    archived: bool = False
    is_default: bool = False
    """Of customers who have not chosen one, and of those whose subscription has ended."""
    overage_price: Decimal | None = None
    """Of 1,000 tokens above the quota, for periods that begin now; None: it sells none."""
    overage_cap_tokens: int = 0
    """The most of them, for customers who have set no cap of their own."""
    key_budgets: Budgets = NONE
    """Of each API key of its subscribers."""

    @property
    def code(self) -> str:
        return self.terms.code


NO_PLAN = PlanOffer(PlanTerms("", 0, Decimal(0), "", MONTH), "no plan", 0, 30, frozenset())
"""What an account without a plan may do: look around and choose one, but call no feature."""


def default_offer(plans: Mapping[str, PlanOffer]) -> PlanOffer:
    """The plan of customers who have not chosen one; NO_PLAN where there is none."""
    return next((offer for offer in plans.values() if offer.is_default), NO_PLAN)


def offer_of(code: str, plans: Mapping[str, PlanOffer]) -> PlanOffer:
    """The plan of that code; NO_PLAN of none."""
    return plans[code] if code else NO_PLAN


def cheapest(offers: Iterable[PlanOffer], current: PlanOffer, passing: Collection[str]) -> PlanOffer | None:
    """The cheapest plan on sale, other than the current one and in its currency, of those whose code is `passing`.

    For an account without a plan, of all of them.
    """
    candidates = [
        offer
        for offer in offers
        if offer.code in passing
        and offer.code != current.code
        and not offer.archived
        and (current is NO_PLAN or _exchangeable(offer.terms, current.terms))
    ]
    return min(candidates, key=lambda offer: (offer.terms.price, offer.terms.rank, offer.code), default=None)


def _exchangeable(one: PlanTerms, other: PlanTerms) -> bool:
    return (one.currency, one.interval) == (other.currency, other.interval)
