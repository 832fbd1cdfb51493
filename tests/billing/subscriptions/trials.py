"""What a trial is seen by: the plan that calls get, and the periods as pages call them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billing.entitlements import snapshots
from billing.models import BillingPeriod, Subscription
from billing.rules.entitlements.entitlement import Entitlement
from ratelimit import process_state


def live(subscription: Subscription) -> Subscription:
    return Subscription.objects.live().select_related("plan").get(account=subscription.account_id)


def entitled(subscription: Subscription, now: datetime) -> Entitlement:
    """What a process that knows nothing yet lets the account do."""
    process_state.start_anew()
    return snapshots.snapshot(subscription.account_id, round(now.timestamp() * 1000)).entitlement


def enforced(subscription: Subscription, now: datetime) -> str:
    return entitled(subscription, now).plan.code


def periods(subscription: Subscription) -> list[tuple[str, Any, datetime]]:
    rows = BillingPeriod.objects.filter(subscription=subscription).select_related("plan").order_by("number")
    return [(row.title, row.price, row.ends_at) for row in rows]
