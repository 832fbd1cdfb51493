"""What is going to happen to subscriptions, and what should have and did not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.db.models import Count, F, Q

from billing.models import Subscription

LATE_AFTER = timedelta(minutes=10)
"""Beat renews every minute. What is still due by then failed, or nobody renews."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """How many live subscriptions; `today` until the end of the UTC day, `week` within seven days from now."""

    late_before: datetime
    today_ends: datetime
    week_ends: datetime
    late: int
    """Closes that failed: their period ended more than ten minutes ago, and no other was opened."""
    renewals_today: int
    renewals_week: int
    trials_week: int
    """Of those, trials that end."""
    changes_today: int
    changes_week: int
    ending_week: int
    """Canceled, and not renewed."""
    parked: int


def ahead(now: datetime) -> Ahead:
    late_before = now - LATE_AFTER
    today = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time.min, UTC)
    week = now + timedelta(days=7)
    going_on = Q(period_ends_at__gt=late_before)
    # By two statements: the one reads the index of what is due, the other those of the few that are scheduled, ending
    # or parked.
    due = Subscription.objects.due(week).aggregate(
        late=Count("pk", filter=~going_on),
        today=Count("pk", filter=going_on & Q(period_ends_at__lt=today)),
        week=Count("pk", filter=going_on),
        trials=Count("pk", filter=going_on & Q(trial_ends_at=F("period_ends_at"))),
    )
    changes, ends, waits = Q(scheduled_at__lte=week), Q(cancel_at__lte=week), Q(parked_at__isnull=False)
    few = Subscription.objects.live().filter(changes | ends | waits)
    found = few.aggregate(
        today=Count("pk", filter=Q(scheduled_at__lt=today)),
        week=Count("pk", filter=changes),
        ending=Count("pk", filter=ends),
        parked=Count("pk", filter=waits),
    )
    return Ahead(
        late_before,
        today,
        week,
        due["late"],
        due["today"],
        due["week"],
        due["trials"],
        found["today"],
        found["week"],
        found["ending"],
        found["parked"],
    )
