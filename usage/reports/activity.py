"""Which capabilities an account is actively using: what a downgrade may not take away."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import Sum

from billing.models import Feature
from billing.subscriptions.refusals import ActivityUnknown
from usage.drain import drain
from usage.models import DailyUsage

ACTIVE_FOR = timedelta(days=30)


def check_active_features(account: int, now: datetime) -> set[str]:
    """Capabilities of the features used in the last 30 days, from the audit log; voided calls do not count.

    Every call answered before counts: the log is brought up to now first. Raises ActivityUnknown.
    """
    try:
        drain.catch_up(account)
    except drain.Behind as error:
        raise ActivityUnknown(str(error)) from error
    used = (
        DailyUsage.objects.filter(account_id=account, date__gte=(now - ACTIVE_FOR).date())
        .values("feature")
        .annotate(calls_made=Sum("calls"))
        .filter(calls_made__gt=0)
    )
    codes = [row["feature"] for row in used]
    return set(
        Feature.objects.filter(code__in=codes, capability__isnull=False).values_list("capability__code", flat=True)
    )
