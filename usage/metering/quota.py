"""Where an account stands against its quota, and whether another plan would let a call pass. Pure rules."""

from __future__ import annotations

from billing.rules.entitlement import Entitlement
from ratelimit.limits import Standing


def percentage_used(standing: Standing) -> float:
    """Per cent of the quota, to one decimal; 0 when unlimited, 100 of a quota of 0."""
    if standing.limit.maximum is None:
        return 0.0
    if standing.limit.maximum == 0:
        return 100.0
    return round(100 * standing.used / standing.limit.maximum, 1)


def passes(entitlement: Entitlement, cost: int, used: int, requests: int) -> bool:
    """Whether a call of that cost would pass with this usage: what a plan that is suggested has to allow."""
    quota_left = cost == 0 or entitlement.quota is None or used + cost <= entitlement.quota
    minute_left = entitlement.requests_per_minute is None or requests + 1 <= entitlement.requests_per_minute
    return quota_left and minute_left
