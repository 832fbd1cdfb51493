"""What was used, as billing asks for it: through the functions that two settings name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import F
from django.utils.module_loading import import_string

from billing.models import BillingPeriod, Subscription, WindowOverage

Asked = tuple[int, datetime, datetime | None]
"""An account, when its usage window starts, and up to when usage counts; None: all of the window."""


def asked(row: WindowOverage) -> Asked:
    return row.account_id, row.window_starts_at, row.until if row.is_part else None


def used_tokens(rows: Iterable[WindowOverage]) -> Mapping[Asked, int]:
    """By `asked`, as PostgreSQL knows them; BILLING_USED_TOKENS is called once for all."""
    windows = [asked(row) for row in rows]
    used: Mapping[Asked, int] = import_string(settings.BILLING_USED_TOKENS)(windows) if windows else {}
    return defaultdict(int, used)


def used_in(account: int, window_starts_at: datetime) -> int:
    """In one window, as PostgreSQL knows it."""
    window = account, window_starts_at, None
    return int(import_string(settings.BILLING_USED_TOKENS)([window]).get(window, 0))


def bring_usage_up(now: datetime) -> None:
    """Before periods close: let PostgreSQL learn what those of them used that sell tokens above the quota.

    By the function that BILLING_CATCH_UP names, as far as it can; what comes later is billed by the next close. Never
    within a transaction.
    """
    closing = BillingPeriod.objects.filter(
        overage_price__isnull=False,
        ends_at=F("subscription__period_ends_at"),
        subscription__in=Subscription.objects.due(now),
    )
    catch_up(closing.order_by().values_list("subscription__account", flat=True))


def catch_up(accounts: Iterable[int]) -> None:
    """Let PostgreSQL learn what some accounts used, as far as can be. Never within a transaction."""
    if asked := list(accounts):
        import_string(settings.BILLING_CATCH_UP)(asked)
