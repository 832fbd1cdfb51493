"""An account's own thresholds, beside those of its plan."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from billing.models import NoticeThreshold
from billing.models.catalogue.notices import MOST_OWN
from billing.users import User
from usage.log import crossings


class TooMany(Exception):
    """The account has MOST_OWN of its own."""


def add(account: int, percent: int, now: datetime) -> None:
    """Tell the account at this percentage, too; one that is crossed already is told at once. Raises TooMany."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=account)  # so that two at once do not exceed the bound
        own = NoticeThreshold.objects.filter(account=account)
        if not own.filter(percent=percent).exists():
            if own.count() >= MOST_OWN:
                raise TooMany
            NoticeThreshold.objects.create(account_id=account, percent=percent)
        crossings.mark_open(account, now)


def remove(account: int, threshold: int) -> bool:
    """False where the account has none of that number."""
    return NoticeThreshold.objects.filter(account=account, pk=threshold).delete()[0] > 0
