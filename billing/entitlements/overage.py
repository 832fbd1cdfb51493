"""What an account has used above its quota, and what that costs up to now."""

from __future__ import annotations

from datetime import datetime

from billing.entitlements import snapshots
from billing.rules.instants import to_ms
from billing.rules.tokens.overage import Overage
from billing.subscriptions.overage.usage import used_in


def overage_now(account: int, now: datetime) -> Overage | None:
    """In the present usage window, as PostgreSQL knows it, which may lag the calls; None where none is sold."""
    entitlement = snapshots.snapshot(account, to_ms(now)).entitlement
    if entitlement.overage is None or entitlement.included is None:
        return None
    return entitlement.overage.sold(used_in(account, entitlement.window.start), entitlement.included)
