"""Recurring revenue: what the present periods of all live subscriptions come to in a month, by plan and currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from django.db.models import Count, F, Q, Sum

from billing.models import Plan, Subscription
from billing.rules.money import round_money


@dataclass(frozen=True, slots=True)
class PlanShare:
    plan: int
    name: str
    currency: str
    subscribers: int
    paying: int
    """Those of them whose present period costs something; neither a trial nor free."""
    monthly: Fraction
    """What those pay for their periods, net of discounts and without overage, for a month."""


def plan_shares() -> list[PlanShare]:
    """One a plan that somebody is on, in the order of the catalogue. Parked subscriptions count, as they are sold."""
    present = Subscription.objects.live().filter(periods__ends_at=F("period_ends_at"))
    pays = Q(periods__price__gt=F("periods__discount"))
    found = present.values("plan", "periods__currency").annotate(
        subscribers=Count("pk"),
        paying=Count("pk", filter=pays),
        price=Sum(F("periods__price") - F("periods__discount")),
    )
    by_plan = {(row["plan"], row["periods__currency"]): row for row in found.order_by()}
    shares = []
    for plan in Plan.objects.all():
        for (of, currency), row in by_plan.items():
            if of == plan.pk:
                monthly = Fraction(row["price"]) / plan.billed_every.months
                shares.append(PlanShare(of, plan.name, currency, row["subscribers"], row["paying"], monthly))
    return shares


def by_currency(shares: Iterable[PlanShare]) -> dict[str, Decimal]:
    """Monthly recurring revenue, rounded once a currency; those in which nothing recurs are left out."""
    sums: dict[str, Fraction] = {}
    for share in shares:
        sums[share.currency] = sums.get(share.currency, Fraction(0)) + share.monthly
    return {currency: round_money(amount, currency) for currency, amount in sorted(sums.items()) if amount}
