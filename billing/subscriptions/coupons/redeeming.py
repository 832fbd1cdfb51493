"""Coupons: redeeming one, giving it up, taking it back. Each locks the account's subscription first."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth import get_user_model
from django.db import transaction

from billing.models import Coupon, CouponRedemption, Subscription
from billing.models.catalogue.coupons import CouponQuerySet, CouponRedemptionQuerySet
from billing.outbox.kinds import Happened
from billing.outbox.record import record
from billing.subscriptions.changes import locked
from billing.subscriptions.refusals import CouponInvalid, NoCoupon, NoSubscription, UnderReview


def redeem(account: int, code: str, now: datetime) -> CouponRedemption:
    """Redeem a coupon for the account: periods that begin from now on are discounted, and upgrades, as it says.

    An account without a subscription may redeem one before it gets a plan. Raises CouponInvalid, and UnderReview for a
    parked subscription.
    """
    with transaction.atomic():
        _lock(account, now)
        # Held, so that not more redeem it than may.
        coupon = redeemable(account, code, now, Coupon.objects.select_for_update(no_key=True))
        redemption = CouponRedemption.objects.create(
            account_id=account, coupon=coupon, redeemed_at=now, periods_left=coupon.periods
        )
        record(Happened.COUPON_REDEEMED, account, redemption=redemption.pk, coupon=coupon.code)
    return redemption


def redeemable(account: int, code: str, now: datetime, coupons: CouponQuerySet | None = None) -> Coupon:
    """The coupon of a code, where the account can redeem it now. Raises CouponInvalid."""
    coupon = (Coupon.objects.all() if coupons is None else coupons).of_code(code)
    if coupon is None:
        raise CouponInvalid(reason="unknown")
    if coupon.redemptions.filter(account=account).exists():
        raise CouponInvalid(reason="already_redeemed")
    if not coupon.is_on_sale:
        raise CouponInvalid(reason="unknown")
    if coupon.is_expired(now):
        raise CouponInvalid(reason="expired")
    if coupon.most_redemptions is not None and coupon.redemptions.count() >= coupon.most_redemptions:
        raise CouponInvalid(reason="used_up")
    if CouponRedemption.objects.active().filter(account=account).exists():
        raise CouponInvalid(reason="another_active")
    return coupon


def give_up(account: int, now: datetime) -> CouponRedemption:
    """Discount nothing more by the account's coupon, for good. What was billed stays. Raises NoCoupon, UnderReview."""
    with transaction.atomic():
        _lock(account, now)
        return _withdraw(CouponRedemption.objects.filter(account=account), now)


def withdraw(redemption: CouponRedemption, now: datetime) -> CouponRedemption:
    """The same by staff, also of a parked account: what is held back there gets no discount. Raises NoCoupon."""
    with transaction.atomic():
        try:
            _lock(redemption.account_id, now)
        except UnderReview:
            list(Subscription.objects.live().select_for_update().filter(account=redemption.account_id))
        return _withdraw(CouponRedemption.objects.filter(pk=redemption.pk), now)


def _lock(account: int, now: datetime) -> None:
    """Until the transaction ends; afterwards all periods are open that have begun, so that a late renewal is none."""
    try:
        locked(account, now)
    except NoSubscription:
        get_user_model().objects.select_for_update(no_key=True).get(pk=account)


def _withdraw(rows: CouponRedemptionQuerySet, now: datetime) -> CouponRedemption:
    redemption = rows.active().select_related("coupon").first()
    if redemption is None:
        raise NoCoupon
    redemption.withdrawn_at = now
    redemption.save(update_fields=["withdrawn_at"])
    account, coupon = redemption.account_id, redemption.coupon.code
    record(Happened.COUPON_WITHDRAWN, account, redemption=redemption.pk, coupon=coupon)
    return redemption
