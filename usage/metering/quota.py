"""Where an account stands against its quota, and whether another plan would let a call pass. Pure rules."""

from __future__ import annotations

from billing.rules.entitlements.entitlement import Entitlement
from billing.rules.tokens.overage import Overage
from ratelimit.limits import Standing


def of_included(entitlement: Entitlement, quota: Standing) -> Standing:
    """The standing of the quota against what costs nothing extra: more may be used than that."""
    return quota._replace(limit=quota.limit._replace(maximum=entitlement.included))


def overage_of(entitlement: Entitlement, quota: Standing) -> Overage | None:
    """What is used above that; None where nothing is sold above it."""
    if entitlement.overage is None or entitlement.included is None:
        return None
    return entitlement.overage.sold(quota.used, entitlement.included)


def percentage_used(standing: Standing) -> float:
    """Per cent of the quota, to one decimal; 0 when unlimited, 100 of a quota of 0."""
    if standing.limit.maximum is None:
        return 0.0
    if standing.limit.maximum == 0:
        return 100.0
    return round(100 * standing.used / standing.limit.maximum, 1)


def passes(entitlement: Entitlement, cost: int, used: int, requests: int) -> bool:
    """Whether a call of that cost would pass with this usage: what a plan that is suggested has to allow.

    Tokens above the quota count as far as the customer has set a cap: nobody is led to pay for more than was agreed to.
    """
    overage = entitlement.overage
    quota = entitlement.quota if overage is None or overage.is_own_cap else entitlement.included
    quota_left = cost == 0 or quota is None or used + cost <= quota
    minute_left = entitlement.requests_per_minute is None or requests + 1 <= entitlement.requests_per_minute
    return quota_left and minute_left
