"""What coupons do to what is billed: the discounts of periods that open, and of changes of plan.

A period has one coupon at most, and uses up one period of its redemption. Callers that write hold the lock of the
account's subscription, as those do who redeem a coupon or give it up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, Subquery

from billing.models import BillingPeriod, Coupon, CouponRedemption, InvoiceLine, Plan
from billing.models.invoicing.invoices import NOTHING
from billing.postgres.any_of import any_of
from billing.rules.proration import prorate


@dataclass(frozen=True, slots=True)
class Discount:
    """The coupon of a period whose plan is changed, or which a change begins."""

    coupon: Coupon
    amount: Decimal
    """What it takes off the target's price for the whole period; 0 where the coupon is not for the target."""
    uses: CouponRedemption | None = None
    """The redemption of which this period uses one up; None: it has used it before."""


def active(account: int) -> CouponRedemption | None:
    """The account's redemption that discounts periods to come."""
    return active_of([account]).get(account)


def active_of(accounts: Iterable[int]) -> dict[int, CouponRedemption]:
    """Active redemptions by account, with their coupons and what those are for."""
    rows = CouponRedemption.objects.active().filter(any_of("account", accounts)).select_related("coupon")
    return {row.account_id: row for row in rows.prefetch_related("coupon__plans")}


def as_if_redeemed(account: int, coupon: Coupon, now: datetime) -> CouponRedemption:
    """For a preview; it is not written."""
    return CouponRedemption(account_id=account, coupon=coupon, redeemed_at=now, periods_left=coupon.periods)


def discount_opened(opened: Sequence[BillingPeriod]) -> None:
    """Put coupons on periods that are to be opened, oldest first; to be written with `count_uses`."""
    priced = [period for period in opened if period.price]
    if not priced:
        return
    redemptions = active_of({period.subscription.account_id for period in priced})
    for period in priced:
        put_on(period, redemptions.get(period.subscription.account_id))


def put_on(period: BillingPeriod, redemption: CouponRedemption | None) -> None:
    """Discount a period by a redemption that has one left for it, and count that, in memory."""
    if redemption is None or not redemption.is_active:
        return
    if off := redemption.coupon.discount_on(period.plan, period.price):
        period.coupon, period.discount = redemption.coupon, off
        redemption.periods_used += 1
        if redemption.periods_left is not None:
            redemption.periods_left -= 1


def foresee(period: BillingPeriod, redemption: CouponRedemption | None) -> None:
    """The same for a period that the renewal is still going to open: none that has begun before the redemption."""
    if redemption is not None and period.starts_at > redemption.redeemed_at:
        put_on(period, redemption)


def count_uses(periods: Iterable[BillingPeriod]) -> None:
    """Write that each of the periods that has a coupon uses one up."""
    uses = Counter((period.subscription.account_id, period.coupon_id) for period in periods if period.coupon_id)
    if not uses:
        return
    rows = [(account, coupon, used) for (account, coupon), used in uses.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE billing_couponredemption AS r SET periods_used = r.periods_used + n.used,"
            " periods_left = r.periods_left - n.used"
            " FROM unnest(%s::bigint[], %s::bigint[], %s::int[]) AS n (account_id, coupon_id, used)"
            " WHERE r.account_id = n.account_id AND r.coupon_id = n.coupon_id",
            [list(column) for column in zip(*rows, strict=True)],
        )


def of_change(
    period: BillingPeriod,
    target: Plan,
    price: Decimal,
    at: datetime,
    redemption: CouponRedemption | None,
    *,
    begins: bool,
) -> Discount | None:
    """The coupon of a period once it is on the target at a price, or of the one that the change `begins`.

    The period keeps the coupon that it has. One that begins takes it along where none of it is used yet: all that it
    discounted is credited. Otherwise the active `redemption` counts, where it is for the target.
    """
    held = period.coupon if not begins or _is_unused(period, at) else None
    if held is not None:
        off = NOTHING if _is_withdrawn(period, held) else held.discount_on(target, price)
        if off or not begins:
            return Discount(held, off)
    if redemption is not None and redemption.is_active:
        off = redemption.coupon.discount_on(target, price)
        if off:
            return Discount(redemption.coupon, off, redemption)
    return None if held is None else Discount(held, NOTHING)


def changed_since(account: int, at: datetime) -> bool:
    """Whether the account redeemed or gave up a coupon after an instant, or staff edited one that it has."""
    edited = Coupon.history.filter(history_date__gt=at).values("id")
    later = Q(redeemed_at__gt=at) | Q(withdrawn_at__gt=at) | Q(coupon__in=edited)
    return CouponRedemption.objects.filter(later, account=account).exists()


def with_subscription(account: int) -> dict[str, Any]:
    """Annotations by which one statement reads a period and what is active beside it; for `beside`."""
    rows = CouponRedemption.objects.active().filter(account=account)
    return {"redemption": Subquery(rows.values("pk")[:1]), "left": Subquery(rows.values("periods_left")[:1])}


def beside(period: Any) -> CouponRedemption | None:
    """The redemption that was active when an annotated period was read."""
    if period.redemption is None:
        return None
    rows = CouponRedemption.objects.select_related("coupon").prefetch_related("coupon__plans")
    redemption = rows.get(pk=period.redemption)
    redemption.periods_left = period.left
    return redemption


def _is_unused(period: BillingPeriod, at: datetime) -> bool:
    """Whether as much of the period remains as when its coupon began to count, to the second."""
    if period.coupon_id is None:
        return False
    since = period.starts_at
    if period.pk is not None:
        discounts = InvoiceLine.objects.of_period(period).filter(kind=InvoiceLine.Kind.DISCOUNT).order_by("pk")
        since = discounts.values_list("period_start", flat=True).first() or since
    return _remaining(period, since) == _remaining(period, at)


def _remaining(period: BillingPeriod, at: datetime) -> object:
    second = at.replace(microsecond=0)
    return prorate(NOTHING, None, period.period, second, period.currency, settings.PRORATION_GRANULARITY).remaining


def _is_withdrawn(period: BillingPeriod, coupon: Coupon) -> bool:
    rows = CouponRedemption.objects.filter(account=period.subscription.account_id, coupon=coupon)
    return rows.filter(withdrawn_at__isnull=False).exists()
