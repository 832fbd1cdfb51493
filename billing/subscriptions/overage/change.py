"""A change of plan within a usage window: what was used above the old plan's quota stays due at the old price."""

from __future__ import annotations

from datetime import datetime

from billing.models import BillingPeriod, Plan, WindowOverage
from billing.rules.periods import Period
from billing.rules.usage_window import window_on
from billing.subscriptions.overage.past import Pasts


def note_change(period: BillingPeriod, target: Plan, now: datetime) -> None:
    """Before the locked subscription of a period goes to another plan: keep what it included and sold until now.

    Nothing, and no query, where neither plan sells overage. A second change at one instant has nothing to keep.
    """
    if period.overage_price is None and target.overage_price is None:
        return
    subscription = period.subscription
    account, window = subscription.account_id, window_on(subscription, period.plan, now)
    earlier = WindowOverage.objects.filter(account=account, window_starts_at=window.start).order_by("-until").first()
    start = earlier.until if earlier is not None else window.start
    if start >= now:
        return
    WindowOverage.objects.create(
        account_id=account,
        billing_period=period,
        window_starts_at=window.start,
        until=now,
        is_part=True,
        included=Pasts([account]).included(account, subscription, period.plan, Period(start, now)),
        unit_price=period.overage_price,
        currency=period.currency,
    )
