"""Subscriptions whose invoices looked wrong: held back until staff have looked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.invoicing import issuing, review
from billing.models import Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.subscriptions import renewal


def release(subscription: Subscription, now: datetime) -> renewal.RenewalReport:
    """Let a parked subscription go on, as staff have looked at it: what was held back is billed, at the prices then."""
    with transaction.atomic():
        live = Subscription.objects.select_for_update().get(pk=subscription.pk)
        if live.parked_at is None:
            return renewal.RenewalReport()
        live.parked_at, live.parked_because = None, ""
        live.save()
        record(Happened.SUBSCRIPTION_RELEASED, live.account_id, subscription=live.pk)
        # Parked when it was opened, it has no invoice at all yet.
        first = () if live.invoices.exists() else live.periods.filter(price__gt=0)
        held_back = [review.base_price(period) for period in first]
        issuing.issue(held_back, now)
        done = renewal.close([live], now, reviewed=True)
        done.invoices += len(held_back)
        return done
