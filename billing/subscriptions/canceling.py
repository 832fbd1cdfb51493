"""The end of a subscription: with its period, at once, or after all not. Each locks the subscription first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from billing.models import Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.subscriptions.changes import locked
from billing.subscriptions.refusals import NothingScheduled, NothingToCancel


@dataclass(frozen=True, slots=True)
class Canceled:
    """A subscription that ends with its period."""

    subscription: Subscription
    at: datetime
    then: Plan | None
    """The plan that follows; None where no plan is the default."""


def cancel(account: int, now: datetime, reason: str = "") -> Canceled:
    """Let the account's subscription end with its period; the default plan follows. It replaces what was scheduled.

    Asked again, it only takes a new reason. Raises NothingToCancel, NoSubscription, UnderReview.
    """
    with transaction.atomic():
        subscription = locked(account, now)
        then = check_cancelable(subscription)
        was_canceled = subscription.cancel_at is not None
        subscription.cancel(reason or subscription.cancel_reason, now)
        if not was_canceled:
            record(Happened.CANCEL_SCHEDULED, account, subscription=subscription.pk, plan=subscription.plan.code)
    return Canceled(subscription, subscription.period_ends_at, then)


def withdraw(account: int, now: datetime) -> Subscription:
    """Renew the account's subscription after all. Raises NothingScheduled, NoSubscription, UnderReview."""
    with transaction.atomic():
        subscription = locked(account, now)
        if subscription.cancel_at is None:
            raise NothingScheduled
        subscription.drop_schedule(now)
        record(Happened.CANCEL_WITHDRAWN, account, subscription=subscription.pk, plan=subscription.plan.code)
    return subscription


def check_cancelable(subscription: Subscription) -> Plan | None:
    """The plan that would follow, None where none is the default. Raises NothingToCancel for one that is on it."""
    then = Plan.objects.default()
    if then is not None and then.pk == subscription.plan_id:
        raise NothingToCancel(plan=then.name)
    return then
