"""Trials: who gets one, and the message that one ends soon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from billing.models import BillingPeriod, Plan, Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from billing.payment_methods import accounts_with_payment_method
from billing.rules.periods import Period

BATCH = 500


def is_offered(account: int, target: Plan, period: BillingPeriod) -> bool:
    """Whether the account gets the target's trial by an upgrade from its period: while it pays nothing, and once."""
    pays = period.is_trial or period.price > 0
    return target.trial_days > 0 and not pays and not had_one(account)


def had_one(account: int) -> bool:
    return Subscription.objects.filter(account=account, trial_ends_at__isnull=False).exists()


def days_at_first(account: int, default: Plan) -> int:
    """Of the default plan's trial, on which the account starts with the first subscription that it ever has; or 0."""
    is_first = default.trial_days > 0 and not Subscription.objects.filter(account=account).exists()
    return default.trial_days if is_first else 0


def period_of(subscription: Subscription, number: int, start: datetime, plan: Plan, trial_days: int) -> BillingPeriod:
    """A plan's trial of so many days that begins at an instant, not saved yet."""
    days = Period(start, start + timedelta(days=trial_days))
    trial = BillingPeriod.of(subscription, number, days, plan, Decimal(0))
    trial.is_trial, trial.overage_price = True, None  # nothing is billed for a trial, whatever is used
    return trial


def ask_for_payment_methods(subscriptions: Sequence[Subscription]) -> None:
    """Find out at once which of a batch have the payment method that their trial needs."""
    asked = [row for row in subscriptions if row.needs_payment_method]
    having = accounts_with_payment_method({row.account_id: row.trial_ends_at for row in asked if row.trial_ends_at})
    for row in asked:
        row.has_payment_method = row.account_id in having


def announce_ending(now: datetime) -> int:
    """Write the message of each trial that ends within `NOTICE`, once; how many. Several at once do no harm.

    None for a deactivated user, and none where the trial has ended before anybody came to write it.
    """
    told = 0
    while True:
        with transaction.atomic():
            rows = Subscription.objects.filter(trial_notice_at__lte=now).order_by("trial_notice_at", "pk")
            rows = rows.select_related("plan", "account").select_for_update(skip_locked=True, of=("self",))
            batch = list(rows[:BATCH])
            if not batch:
                return told
            ending = [
                (row.account_id, {"subscription": row.pk, "plan": row.plan.code})
                for row in batch
                if row.is_live and row.account.is_active and row.trial_ends_at and now < row.trial_ends_at
            ]
            record_all(Happened.TRIAL_ENDING, ending)
            Subscription.objects.filter(pk__in=[row.pk for row in batch]).update(trial_notice_at=None)
        told += len(ending)
