"""The end of subscriptions whose users are deactivated: with their period, since nobody is there to renew it for."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from billing.fence import push
from billing.models import Subscription
from billing.outbox.kinds import Happened
from billing.outbox.record import record_all


def end(subscriptions: Sequence[Subscription]) -> int:
    """End locked subscriptions whose last period is over, in the caller's transaction; how many they are."""
    ids, canceled = [subscription.pk for subscription in subscriptions], Subscription.Status.CANCELED
    if not ids:
        return 0
    Subscription.objects.filter(pk__in=ids).update(status=canceled, scheduled_plan=None, scheduled_at=None)
    facts = [(row.account_id, {"subscription": row.pk, "plan": row.plan.code}) for row in subscriptions]
    record_all(Happened.SUBSCRIPTION_ENDED, facts)
    accounts = [row.account_id for row in subscriptions]
    transaction.on_commit(lambda: push.push(accounts), robust=True)
    return len(ids)
