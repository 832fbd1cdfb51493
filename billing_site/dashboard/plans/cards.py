"""Plans as cards: what each gives, and what would be more, less or gone against the present one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from billing.models import Capability, Plan
from billing.rules.plan_change import Available
from billing.subscriptions.current import CurrentSubscription
from billing.subscriptions.offers import Offers

Compared = Literal["more", "less", ""]


@dataclass(frozen=True, slots=True)
class Card:
    """A plan as it is offered to one account."""

    plan: Plan
    price: Decimal
    """For a period: of the present plan what was agreed, of others the list price."""
    currency: str
    is_present: bool
    available: Available | None
    quota: Compared
    rate: Compared
    gained: frozenset[str]
    """Codes of capabilities that the present plan lacks."""
    lost: Sequence[Capability]
    """Of the present plan, and not of this one."""
    trial_days: int
    """Of the trial that changing to it would begin; 0 where there is none for this account."""


def cards_of(offers: Offers, current: CurrentSubscription | None) -> list[Card]:
    """All plans on sale; first the present one where it is sold no more."""
    plans = list(Plan.objects.on_sale().prefetch_related("capabilities"))
    if current is not None and not current.plan.is_on_sale:
        plans.insert(0, current.plan)
    return [_card(plan, offers, current) for plan in plans]


def cards_for_strangers() -> list[Card]:
    """All plans on sale, at list prices."""
    plans = Plan.objects.on_sale().prefetch_related("capabilities")
    return [
        Card(plan, plan.price, plan.currency, False, None, "", "", frozenset(), (), plan.trial_days) for plan in plans
    ]


def _card(plan: Plan, offers: Offers, current: CurrentSubscription | None) -> Card:
    available = offers.available(plan)
    if current is None:
        return Card(plan, plan.price, plan.currency, False, available, "", "", frozenset(), (), offers.trial_days(plan))
    present, period = current.plan, current.period
    if plan.pk == present.pk:
        price = plan.price if period.is_trial else period.price
        return Card(plan, price, period.currency, True, available, "", "", frozenset(), (), 0)
    held = {each.code: each for each in present.capabilities.all()}
    given = set(plan.capability_codes())
    return Card(
        plan,
        plan.price,
        plan.currency,
        False,
        available,
        _compared(plan.monthly_token_quota, present.monthly_token_quota),
        _compared(plan.requests_per_minute, present.requests_per_minute),
        frozenset(given - held.keys()),
        [each for code, each in held.items() if code not in given],
        offers.trial_days(plan),
    )


def _compared(new: int | None, old: int | None) -> Compared:
    """None is unlimited."""
    if new == old:
        return ""
    if new is None:
        return "more"
    return "more" if old is not None and new > old else "less"
