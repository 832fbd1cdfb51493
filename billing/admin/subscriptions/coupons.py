"""How staff redeem a coupon for a customer: what it gives is shown first."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import page_action
from billing.admin.invoicing.documents import amount_of, periods_shown
from billing.admin.subscriptions.endings import MAY_CHANGE, EndingAdmin
from billing.admin.subscriptions.offers import REFUSALS
from billing.api.sentences import to_staff
from billing.models import Coupon, Subscription
from billing.subscriptions import refusals
from billing.subscriptions.staff import coupons as staff_coupons

SUGGESTED = 50


class CouponActions(EndingAdmin):
    @page_action("Redeem a coupon", permission=MAY_CHANGE, icon="redeem")
    def redeem_coupon(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription, now = self.live(request, object_id), timezone.now()
        is_confirmed = request.method == "POST"
        code = (request.POST if is_confirmed else request.GET).get("code", "")
        try:
            if is_confirmed:
                return self._redeem(request, subscription, code, now)
            return self._preview_coupon(request, subscription, code, now)
        except refusals.CouponInvalid as error:
            messages.error(request, to_staff(error))
            return self._ask_code(request, subscription, code)
        except REFUSALS as error:
            return self.refused(request, subscription, error)

    def _ask_code(self, request: HttpRequest, subscription: Subscription, code: str) -> HttpResponse:
        suggested = Coupon.objects.filter(is_on_sale=True).values_list("code", flat=True)[:SUGGESTED]
        title = f"Redeem a coupon for {subscription.account}"
        return self.page(request, subscription, "redeem_coupon.html", title, code=code, suggested=suggested)

    def _preview_coupon(
        self, request: HttpRequest, subscription: Subscription, code: str, now: datetime
    ) -> HttpResponse:
        if not code.strip():
            return self._ask_code(request, subscription, code)
        preview = staff_coupons.preview_redeem(subscription.account_id, code, now)
        coupon, currency = preview.redemption.coupon, preview.currency
        about = {
            "preview": preview,
            "coupon": coupon,
            "takes": coupon.takes(),
            "periods": periods_shown(coupon.periods),
            "plans": ", ".join(str(plan) for plan in coupon.plans.all()) or "all",
            "before": amount_of(preview.next_invoice_before, currency),
            "after": amount_of(preview.next_invoice_after, currency),
        }
        title = f"Redeem {coupon} for {subscription.account}?"
        return self.page(request, subscription, "redeem_coupon.html", title, code=coupon.code, **about)

    def _redeem(self, request: HttpRequest, subscription: Subscription, code: str, now: datetime) -> HttpResponse:
        try:
            with transaction.atomic():
                digest = request.POST.get("digest", "")
                coupon = staff_coupons.redeem(subscription.account_id, code, now, digest).redemption.coupon
                done = f"Coupon {coupon} redeemed: {coupon.takes()} off, {periods_shown(coupon.periods)}."
                self.log_change(request, subscription, done)
        except refusals.QuoteExpired as stale:
            messages.warning(request, to_staff(stale))
            return self._preview_coupon(request, subscription, code, now)
        return self.back(request, subscription, done)
