"""Opening a subscription: on the default plan at first use, or on a given plan."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from billing.invoicing import issuing, review
from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.periods import nth_period
from billing.subscriptions.refusals import NoDefaultPlan


def get_or_open_subscription(account: int, now: datetime) -> Subscription:
    """The account's live subscription, as its row says it; one on the default plan is opened, and billed, on first use.

    Raises NoDefaultPlan.
    """
    related = ("plan", "scheduled_plan", "account")
    live = Subscription.objects.live().select_related(*related).filter(account_id=account)
    found = live.first()
    if found is not None:
        return found
    default = Plan.objects.default()
    if default is None:
        raise NoDefaultPlan("no plan is marked as the default; mark one in the admin, or run manage.py seed_catalogue")
    try:
        return subscribe(account, default, now)
    except IntegrityError:
        # Another process opened it in the same moment.
        return live.get()


def subscribe(account: int, plan: Plan, now: datetime) -> Subscription:
    """Open a live subscription whose first period starts now, to the second, and bill that period.

    Where its invoice looks wrong the subscription is parked and nothing is billed. Raises IntegrityError where the
    account has a live subscription.
    """
    anchor = now.replace(microsecond=0)
    first = nth_period(anchor, plan.billed_every, 0)
    with transaction.atomic():
        subscription = Subscription.objects.create(
            account_id=account, plan=plan, anchor=anchor, created_at=now, changed_at=now, period_ends_at=first.end
        )
        opened = BillingPeriod.of(subscription, 0, first, plan, plan.price)
        opened.save()
        record(Happened.SUBSCRIPTION_OPENED, account, subscription=subscription.pk, plan=plan.code)
        bills = [review.base_price(opened)] if plan.price else []
        if reason := review.review_reason(bills, review.issued_today([account], now)):
            subscription.park(reason, now)
        else:
            issuing.issue(bills, now)
    return subscription
