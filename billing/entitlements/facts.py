"""Reads what PostgreSQL says of one account: by one statement, where there are no exceptions from its plan."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, models

from billing.fence.models import Fence
from billing.models import BillingPeriod, LimitOverride, PastDue, Plan, Subscription, TokenTopUp
from billing.postgres.planned import planned_cursor
from billing.rules.entitlements.entitlement import Facts, Override
from billing.rules.instants import EPOCH
from billing.rules.payments.past_due import paused_from
from billing.subscriptions import opening
from billing.subscriptions.refusals import NoSubscription

M = TypeVar("M", bound=models.Model)
SUBSCRIPTION = (
    *("id", "account_id", "plan_id", "anchor", "scheduled_plan_id", "scheduled_at", "cancel_at", "period_ends_at"),
    *("trial_ends_at", "trial_needs_payment_method", "former_quota_window_from", "former_quota_window_until"),
    "overage_cap_tokens",
)
PLAN = ("id", "code", "quota_window", "interval")
"""Of each row, what `terms_of` asks for: what else of it was asked for would cost a query."""


def read_facts(account: int, now: datetime) -> Facts:
    """The facts of an account; on first use a subscription on the default plan is opened. Raises DatabaseError.

    The version is never newer than the facts: those that are newer than their version are only read once more.
    """
    with planned_cursor() as cursor:
        cursor.execute(_statement(), [account])
        version, past_due_since, has_overrides, has_top_ups, overage_price, *rest = cursor.fetchone()
    subscription = _subscription(rest)
    if subscription is not None:
        sold = terms_of(subscription) | _overage_sold(subscription, overage_price)
    else:
        sold = _opened(account, now)
    overrides = LimitOverride.objects.filter(account=account).order_by("-created_at", "-pk") if has_overrides else ()
    top_ups = TokenTopUp.objects.filter(account=account) if has_top_ups else ()
    return Facts(
        account=account,
        version=version or 1,
        **sold,
        paused_at=paused_from(past_due_since, settings.PAST_DUE_GRACE_DAYS),
        overrides=tuple(Override(row.limit, row.maximum, row.expires_at) for row in overrides),
        top_ups=tuple(row.terms for row in top_ups),
    )


def terms_of(subscription: Subscription) -> dict[str, Any]:
    """Of Facts, all that the row and its plans say."""
    return {
        "active": subscription.account.is_active,
        "plan": sys.intern(subscription.plan.code),
        "anchor": subscription.anchor,
        "scheduled_plan": subscription.scheduled_plan.code if subscription.scheduled_plan else "",
        "scheduled_at": subscription.scheduled_at,
        "ends_at": subscription.ends_at,
        "former_quota_window_from": subscription.former_quota_window_from,
        "former_quota_window_until": subscription.former_quota_window_until,
        "overage_cap": subscription.overage_cap_tokens,
    }


def pauses(accounts: Collection[int]) -> dict[int, datetime]:
    """From when on the plans of accounts are not served; those with nothing past due are left out."""
    since, grace = PastDue.objects.since(accounts), settings.PAST_DUE_GRACE_DAYS
    return {account: at for account, first in since.items() if (at := paused_from(first, grace)) is not None}


@cache
def _statement() -> str:
    user = get_user_model()._meta
    subscription, plan = Subscription._meta.db_table, Plan._meta.db_table
    return f"""
SELECT (SELECT version FROM {Fence._meta.db_table} WHERE subject = asked.account),
    (SELECT min(since) FROM {PastDue._meta.db_table} WHERE account_id = asked.account),
    EXISTS (SELECT FROM {LimitOverride._meta.db_table} WHERE account_id = asked.account),
    EXISTS (SELECT FROM {TokenTopUp._meta.db_table} WHERE account_id = asked.account),
    (SELECT overage_price FROM {BillingPeriod._meta.db_table}
        WHERE subscription_id = sold.id AND ends_at = sold.period_ends_at LIMIT 1),
    {_columns("sold", Subscription, SUBSCRIPTION)}, {_columns("plan", Plan, PLAN)}, {_columns("next", Plan, PLAN)},
    {_columns("customer", get_user_model(), _customer())}
FROM (SELECT %s::bigint AS account) asked
LEFT JOIN {subscription} sold ON sold.account_id = asked.account AND sold.status = '{Subscription.Status.ACTIVE}'
LEFT JOIN {plan} plan ON plan.id = sold.plan_id
LEFT JOIN {plan} next ON next.id = sold.scheduled_plan_id
LEFT JOIN "{user.db_table}" customer ON customer."{user.pk.column}" = sold.account_id
"""


def _columns(table: str, model: type[models.Model], attributes: Collection[str]) -> str:
    """In the order of the model's fields, as `from_db` wants the values."""
    columns = [field.column for field in model._meta.concrete_fields if field.attname in attributes]
    return ", ".join(f'{table}."{column}"' for column in columns)


def _customer() -> Collection[str]:
    return get_user_model()._meta.pk.attname, "is_active"


def _subscription(values: Sequence[Any]) -> Subscription | None:
    """The live subscription that `_statement` found, with its plans and its customer; None where it found none."""
    if values[0] is None:
        return None
    ends = len(SUBSCRIPTION), len(SUBSCRIPTION) + len(PLAN), len(SUBSCRIPTION) + 2 * len(PLAN)
    subscription = _row(Subscription, SUBSCRIPTION, values[: ends[0]])
    subscription.plan = _row(Plan, PLAN, values[ends[0] : ends[1]])
    if subscription.scheduled_plan_id is not None:
        subscription.scheduled_plan = _row(Plan, PLAN, values[ends[1] : ends[2]])
    subscription.account = _row(get_user_model(), _customer(), values[ends[2] :])
    return subscription


def _row(model: type[M], attributes: Collection[str], values: Sequence[Any]) -> M:
    return model.from_db(connection.alias, attributes, values)


def _overage_sold(subscription: Subscription, price: Any) -> dict[str, Any]:
    """The terms of the period opened last; nothing where the plan can sell no overage."""
    if not subscription.plan.may_sell_overage:
        return {}
    return {"overage_price": price, "overage_price_until": subscription.period_ends_at}


def _opened(account: int, now: datetime) -> dict[str, Any]:
    """Of an account without a live subscription: the terms of the one that is opened now, if one may be."""
    try:
        subscription = opening.get_or_open_subscription(account, now)
    except NoSubscription:
        is_active = get_user_model().objects.filter(pk=account, is_active=True).exists()
        return {"active": is_active, "plan": "", "anchor": EPOCH}
    price = subscription.periods.filter(ends_at=subscription.period_ends_at).values_list("overage_price", flat=True)
    return terms_of(subscription) | _overage_sold(subscription, price.first())
