"""Subscriptions whose invoices looked wrong: held back until staff have looked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.invoicing import issuing, taxation
from billing.invoicing.bills import base_price, to_issue
from billing.models import Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.subscriptions.period_end import renewal
from billing.subscriptions.period_end.report import RenewalReport


def release(subscription: Subscription, now: datetime) -> RenewalReport:
    """Let a subscription go on that staff have looked at: bill what was held back, at the prices of its own days.

    Does nothing to one that is not parked.
    """
    with transaction.atomic():
        live = Subscription.objects.select_for_update().get(pk=subscription.pk)
        if live.parked_at is None:
            return RenewalReport()
        live.parked_at, live.parked_because = None, ""
        live.save()
        record(Happened.SUBSCRIPTION_RELEASED, live.account_id, subscription=live.pk)
        # One that was parked as it was opened has no invoice at all: its first period is billed as well.
        first = () if live.invoices.exists() else live.periods.all()
        held_back = taxation.taxed(to_issue([base_price(period) for period in first]), now)
        issuing.issue(held_back, now)
        done = renewal.renew([live], now, reviewed=True)
        done.count_bills(held_back)
        return done
