"""Opening a subscription: on the default plan at first use, on a given plan, or where another one has ended."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from billing.invoicing import bills, issuing, review, taxation
from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.periods import nth_period
from billing.rules.usage_window import kept_window
from billing.subscriptions.refusals import NoSubscription


def get_or_open_subscription(account: int, now: datetime) -> Subscription:
    """The account's live subscription, as its row says it; one on the default plan is opened, and billed, on first use.

    Raises NoSubscription.
    """
    related = ("plan", "scheduled_plan", "account")
    live = Subscription.objects.live().select_related(*related).filter(account_id=account)
    found = live.first()
    if found is not None:
        return found
    default = Plan.objects.default()
    if default is None or not get_user_model().objects.filter(pk=account, is_active=True).exists():
        raise NoSubscription
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
        first_bill = taxation.taxed(bills.to_issue([review.base_price(opened)]), now)
        if reason := review.review_reason(first_bill, review.issued_today([account], now)):
            subscription.park(reason, now)
        else:
            issuing.issue(first_bill, now)
    return subscription


def follow_up(ended: Subscription, plan: Plan, at: datetime) -> Subscription:
    """The subscription that follows one that ends at an instant, not saved yet.

    Its periods are counted from there, to the second, and so is its quota.
    """
    anchor = at.replace(microsecond=0)
    since, until = kept_window(ended, ended.plan, plan, at, with_period=True)
    return Subscription(
        account=ended.account,
        plan=plan,
        anchor=anchor,
        former_quota_window_from=since,
        former_quota_window_until=until,
        created_at=at,
        changed_at=at,
        period_ends_at=nth_period(anchor, plan.billed_every, 0).end,
    )
