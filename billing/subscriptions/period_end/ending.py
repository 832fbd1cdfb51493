"""Writes the ends of subscriptions, and those that follow them."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction

from billing.fence import push
from billing.models import Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all
from billing.subscriptions.period_end.rule import Renewal


def write_ends(ended: Sequence[Renewal]) -> None:
    """End locked subscriptions and save what follows them, in the caller's transaction.

    The periods that follow belong to the saved rows from then on; they are written and billed by the caller.
    """
    if not ended:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_subscription AS s SET status = 'canceled', ended_at = n.ended_at, scheduled_plan_id = NULL,"
            " scheduled_at = NULL, scheduled_kept_price = NULL"
            " FROM unnest(%s::bigint[], %s::timestamptz[]) AS n (id, ended_at) WHERE s.id = n.id",
            [[each.subscription.pk for each in ended], [each.ends_at for each in ended]],
        )
    _record(Happened.SUBSCRIPTION_ENDED, [each.subscription for each in ended])
    followed = [(each.follow_up, each.opened) for each in ended if each.follow_up is not None]
    Subscription.objects.bulk_create([follows for follows, _ in followed])
    for follows, opened in followed:
        for period in opened:
            period.subscription = follows  # its primary key is known now
    _record(Happened.SUBSCRIPTION_OPENED, [follows for follows, _ in followed])
    accounts = [each.subscription.account_id for each in ended]
    transaction.on_commit(lambda: push.push(accounts), robust=True)


def _record(kind: Happened, subscriptions: Sequence[Subscription]) -> None:
    record_all(kind, [(row.account_id, {"subscription": row.pk, "plan": row.plan.code}) for row in subscriptions])
