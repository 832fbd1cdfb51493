"""The only writer of subscriptions."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.models import BillingPeriod, Plan, Subscription
from billing.periods import nth_period


class NoDefaultPlan(Exception):
    """Nobody can be put on a plan: none is marked as the default."""


def live_subscription(account: int, now: datetime) -> Subscription:
    """The account's live subscription; one on the default plan is opened on first use."""
    live = Subscription.objects.select_related("plan", "scheduled_plan", "account").filter(
        account_id=account, status=Subscription.Status.ACTIVE
    )
    found = live.first()
    if found is not None:
        return found
    default = Plan.objects.filter(is_default=True).first()
    if default is None:
        raise NoDefaultPlan("no plan is marked as the default; mark one in the admin, or run manage.py seed_catalogue")
    try:
        return subscribe(account, default, now)
    except IntegrityError:
        # Another process opened it in the same moment.
        return live.get()


def subscribe(account: int, plan: Plan, now: datetime) -> Subscription:
    """Open a live subscription whose first period starts now. Raises IntegrityError where the account has one."""
    anchor = now.replace(microsecond=0)
    with transaction.atomic():
        subscription = Subscription.objects.create(account_id=account, plan=plan, anchor=anchor, created_at=now)
        first = nth_period(anchor, plan.billed_every, 0)
        BillingPeriod.objects.create(
            subscription=subscription,
            number=0,
            starts_at=first.start,
            ends_at=first.end,
            plan=plan,
            price=plan.price,
            currency=plan.currency,
        )
    return subscription
