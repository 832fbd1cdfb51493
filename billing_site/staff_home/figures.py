"""The figures of all customers on the staff's home: read together, and kept with the time they are of.

They are sums of all subscriptions and of a month's invoices, so nobody waits for them: a worker reads them anew each
minute, for as long as anybody looks at them.
"""

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

KEY, LOOKED_AT_KEY = "staff-home-3", "staff-home-looked-at"
READ_EVERY_SECONDS = 60
KEPT_SECONDS = 3 * READ_EVERY_SECONDS
"""Older ones are not shown: beat or its worker is away, and who looks reads them."""
WANTED_SECONDS = 3 * 86_400
"""How long after a look they are read by a worker: a weekend. Who looks later than that waits for them once."""
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
    """How many accounts are near the quota of their window."""
    nearest: list[Used]
    top: list[Used]
    reservations: Everybody
    names: dict[int, str]
    """Of the accounts that are shown."""


def figures(now: datetime) -> Figures:
    """As they were read last; read here where none are kept, so each time without Redis."""
    cache.set(LOOKED_AT_KEY, now, WANTED_SECONDS)
    kept: Figures | None = cache.get(KEY)
    return read_anew(now) if kept is None else kept


def are_wanted() -> bool:
    """Whether anybody has looked at them lately."""
    return cache.get(LOOKED_AT_KEY) is not None


def read_anew(now: datetime) -> Figures:
    """Read them, and keep them. Several at once do no harm."""
    read = _read(now)
    cache.set(KEY, read, KEPT_SECONDS)
    return read


def _read(now: datetime) -> Figures:
    near, top = near_quota(now), top_consumers(now, SHOWN)
    shown = {used.account for used in (*near[:SHOWN], *top)}
    users = User.objects.filter(pk__in=shown).values_list("pk", name_field())
    names = dict(users)
    month, coming = money_of_month(now), ahead(now)
    return Figures(
        now, plan_shares(), month, coming, unplaced().count(), len(near), near[:SHOWN], top, of_everybody(now), names
    )
