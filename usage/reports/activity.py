"""Which capabilities an account is actively using: what a downgrade may not take away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db.models import Max, Q, Sum

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
    features = Feature.objects.filter(code__in=_last_dates(account, now), capability__isnull=False)
    return set(features.values_list("capability__code", flat=True))


@dataclass(frozen=True, slots=True)
class LastUse:
    """A feature that needs a capability, and when it was called last."""

    capability: str
    feature: Feature
    on: date
    """In UTC."""

    @property
    def free_from(self) -> date:
        """The first date, in UTC, on which it is no longer in active use if it is not called again."""
        return self.on + ACTIVE_FOR + timedelta(days=1)


def last_uses(account: int, capabilities: Iterable[str], now: datetime) -> list[LastUse]:
    """What has used these capabilities in the last 30 days, latest first, as far as the log has it."""
    dates = _last_dates(account, now)
    features = Feature.objects.filter(code__in=dates, capability__code__in=capabilities).select_related("capability")
    uses = [LastUse(each.capability.code, each, dates[each.code]) for each in features if each.capability]
    return sorted(uses, key=lambda use: (use.on, use.feature.code), reverse=True)


def _last_dates(account: int, now: datetime) -> dict[str, date]:
    """By the code of each feature called in the last 30 days."""
    used = (
        DailyUsage.objects.filter(account_id=account, date__gte=(now - ACTIVE_FOR).date())
        .values("feature")
        .annotate(calls_made=Sum("calls"), last=Max("date", filter=Q(calls__gt=0)))
        .filter(calls_made__gt=0)
    )
    return {row["feature"]: row["last"] for row in used}
