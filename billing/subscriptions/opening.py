"""Opening a subscription: on the default plan at first use, on a given plan, or where another one has ended."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from billing.invoicing import bills, issuing, ledger, review, taxation
from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.rules.periods import nth_period
from billing.rules.usage_window import BILLING_PERIOD, kept_window
from billing.subscriptions import trials
from billing.subscriptions.coupons import discounts
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
    if default is None:
        raise NoSubscription
    try:
        return subscribe(account, default, now, trial_days=trials.days_at_first(account, default))
    except IntegrityError:
        # Another process opened it in the same moment.
        return live.get()


def subscribe(
    account: int,
    plan: Plan,
    now: datetime,
    *,
    trial_days: int = 0,
    since: datetime | None = None,
    kept_price: Decimal | None = None,
    reviewed: bool = False,
) -> Subscription:
    """Open a live subscription whose first period starts now, or at `since`, to the second, and bill that period.

    With `trial_days` it is the plan's trial of so many; a period costs `kept_price` at most. Where its invoice looks
    wrong the subscription is parked and nothing is billed, unless staff have looked (`reviewed`). Raises IntegrityError
    where the account has a live subscription, or a second trial would begin.
    """
    start = (since or now).replace(microsecond=0)
    subscription = Subscription(account_id=account, plan=plan, created_at=now, changed_at=now, kept_price=kept_price)
    if trial_days:
        opened = trials.period_of(subscription, 0, start, plan, trial_days)
        subscription.begin_trial(plan, opened.period)
        if plan.quota_window == BILLING_PERIOD:
            subscription.former_quota_window_until = start  # no window reaches back before it
    else:
        price = plan.price if kept_price is None else min(plan.price, kept_price)
        opened = BillingPeriod.of(subscription, 0, nth_period(start, plan.billed_every, 0), plan, price)
    subscription.anchor, subscription.anchor_number = opened.anchor
    subscription.period_ends_at = opened.ends_at
    with transaction.atomic():
        ledger.lock(account)  # its balance pays the first bill, and nothing else at the same time
        if not get_user_model().objects.filter(pk=account, is_active=True).exists():
            raise NoSubscription
        subscription.save()
        discounts.discount_opened([opened])
        opened.save()
        discounts.count_uses([opened])
        ids: dict[str, int | str] = {"subscription": subscription.pk, "plan": plan.code}
        record(Happened.SUBSCRIPTION_OPENED, account, **ids)
        if trial_days:
            record(Happened.TRIAL_STARTED, account, **ids)
        first_bill = taxation.taxed(bills.to_issue([bills.base_price(opened)]), now)
        reason = "" if reviewed else review.review_reason(first_bill, review.issued_today([account], now))
        if reason:
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
        overage_cap_tokens=ended.overage_cap_tokens,
        created_at=at,
        changed_at=at,
        period_ends_at=nth_period(anchor, plan.billed_every, 0).end,
    )
