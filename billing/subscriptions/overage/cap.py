"""How far a customer lets tokens above the quota go."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.models import Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.subscriptions.changes import locked
from billing.subscriptions.refusals import NoOverage


def set_cap(account: int, cap_tokens: int | None, now: datetime) -> Subscription:
    """Sell at most so many tokens above the quota in a usage window; None: the plan's default, 0: none.

    It acts on the next call, in the present window too, and stays when the plan is changed. Raises NoOverage where the
    plan sells none, NoSubscription, UnderReview.
    """
    with transaction.atomic():
        subscription = locked(account, now)
        sold = subscription.current_period().overage_price, subscription.plan.overage_price
        if sold == (None, None):  # a trial sells none, and the period after it does
            raise NoOverage(plan=subscription.plan.name)
        if subscription.overage_cap_tokens != cap_tokens:
            subscription.overage_cap_tokens = cap_tokens
            subscription.save(update_fields=["overage_cap_tokens"])
            cap = {} if cap_tokens is None else {"cap_tokens": cap_tokens}
            record(Happened.OVERAGE_CAP_SET, account, subscription=subscription.pk, **cap)
    return subscription
