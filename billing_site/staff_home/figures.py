"""The figures of all customers on the staff's home: read together, and kept for a minute with the time they are of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.cache import cache

from billing.payments.unplaced import unplaced
from billing.reports.ahead import Ahead, ahead
from billing.reports.month import Month, money_of_month
from billing.reports.recurring import PlanShare, plan_shares
from billing.users import User, name_field
from usage.reports.present import Used, near_quota, top_consumers
from usage.reports.reservations import Everybody, of_everybody

KEY, KEPT_SECONDS = "staff-home-3", 60
SHOWN = 8


@dataclass(frozen=True, slots=True)
class Figures:
    read_at: datetime
    shares: list[PlanShare]
    month: Month
    ahead: Ahead
    unplaced: int
    """Money on balances that no invoice is going to use."""
    near: int
    """How many accounts have used 80 % or more of their window's quota."""
    nearest: list[Used]
    top: list[Used]
    reservations: Everybody
    names: dict[int, str]
    """Of the accounts that are shown."""


def figures(now: datetime) -> Figures:
    """From the cache where it has them; without Redis they are read each time."""
    kept: Figures | None = cache.get(KEY)
    if kept is None:
        kept = _read(now)
        cache.set(KEY, kept, KEPT_SECONDS)
    return kept


def _read(now: datetime) -> Figures:
    near, top = near_quota(now), top_consumers(now, SHOWN)
    shown = {used.account for used in (*near[:SHOWN], *top)}
    users = User.objects.filter(pk__in=shown).values_list("pk", name_field())
    names = dict(users)
    month, coming = money_of_month(now), ahead(now)
    return Figures(
        now, plan_shares(), month, coming, unplaced().count(), len(near), near[:SHOWN], top, of_everybody(now), names
    )
