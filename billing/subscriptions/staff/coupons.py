"""Coupons that staff redeem for a customer: tried and rolled back to show it, then done just as it was shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.models import CouponRedemption
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.quotes import digest_of
from billing.subscriptions.refusals import QuoteExpired


@dataclass(frozen=True, slots=True)
class RedeemPreview:
    """A coupon that was redeemed, or tried. Amounts are in `currency`."""

    redemption: CouponRedemption
    next_invoice_before: Decimal
    next_invoice_after: Decimal
    currency: str
    digest: str
    """Equal for two that give and show the same."""


def preview_redeem(account: int, code: str, now: datetime) -> RedeemPreview:
    """What `redeem` would do, found out by doing it and rolling it back. Raises what `redeeming.redeem` raises."""
    with transaction.atomic():
        preview = _redeem(account, code, now)
        transaction.set_rollback(True)
    return preview


def redeem(account: int, code: str, now: datetime, digest: str) -> RedeemPreview:
    """Redeem a coupon as it was shown.

    Raises QuoteExpired where it gives something else now, and what `redeeming.redeem` raises.
    """
    with transaction.atomic():
        redeemed = _redeem(account, code, now)
        if redeemed.digest != digest:
            raise QuoteExpired(reason="digest")
    return redeemed


def _redeem(account: int, code: str, now: datetime) -> RedeemPreview:
    before = current_subscription(account, now).next_invoice_amount
    redemption = redeeming.redeem(account, code, now)
    current, coupon = current_subscription(account, now), redemption.coupon
    after, currency = current.next_invoice_amount, current.period.currency
    plans = sorted(plan.code for plan in coupon.plans.all())
    digest = digest_of(coupon.pk, coupon.takes(), coupon.periods, plans, before, after, currency)
    return RedeemPreview(redemption, before, after, currency, digest)
