"""What staff do to a subscription: another plan now, a downgrade at the period's end, cancelled, or released."""

from __future__ import annotations

from datetime import datetime

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import confirmed_action, page_action
from billing.admin.invoicing.documents import amount_of, credit_rows, documents_shown
from billing.admin.subscriptions.coupons import CouponActions
from billing.admin.subscriptions.endings import ENDED, MAY_CHANGE, shown_instant
from billing.admin.subscriptions.offers import REFUSALS, downgrade_table, limit_table, missed_now, offer_table, on_sale
from billing.api.sentences import to_staff
from billing.http.fields import rfc3339
from billing.models import Plan, Subscription
from billing.rules.plan_change import days_until
from billing.subscriptions import changes, refusals
from billing.subscriptions.current import current_subscription
from billing.subscriptions.staff import changes as staff_changes


class PlanChangeAdmin(CouponActions):
    """Each action shows what it would do, does it on a POST through the functions of the API, and is logged."""

    actions_detail = [
        "change_plan",
        "schedule_downgrade",
        "cancel_scheduled_change",
        "take_back",
        "redeem_coupon",
        "release",
        "credit",
        "end",
    ]

    def sensible_actions(self, row: Subscription) -> set[str]:
        if not row.is_live:
            return set()
        if row.parked_at:
            return {"release", "credit"}
        scheduled = {"cancel_scheduled_change"} if row.scheduled_plan else set()
        ends = {"take_back"} if row.cancel_at else set()
        return {"change_plan", "schedule_downgrade", "redeem_coupon", "credit", "end"} | scheduled | ends

    @page_action("Change plan now", permission=MAY_CHANGE, icon="swap_vert")
    def change_plan(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription, now = self.live(request, object_id), timezone.now()
        is_confirmed = request.method == "POST"
        code = (request.POST if is_confirmed else request.GET).get("target", "")
        try:
            if not code:
                return self._choose_plan(request, subscription, now)
            target = on_sale(code)
            if is_confirmed:
                return self._change(request, subscription, target, now)
            return self._preview(request, subscription, target, now)
        except REFUSALS as error:
            return self.refused(request, subscription, error)

    def _choose_plan(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        current = current_subscription(subscription.account_id, now)
        title = f"Change the plan of {subscription.account} now"
        about = {"current": current, "table": offer_table(current)}
        return self.page(request, subscription, "choose_plan.html", title, **about)

    def _preview(self, request: HttpRequest, subscription: Subscription, target: Plan, now: datetime) -> HttpResponse:
        current = current_subscription(subscription.account_id, now)
        preview = staff_changes.preview_change(subscription.account_id, target, now)
        quote, previous = preview.quote, preview.quote.period.plan
        proration = quote.proration
        about = {
            "preview": preview,
            "previous": previous,
            "target": target,
            "proration": proration,
            "credit": amount_of(proration.credit, proration.currency),
            "charge": amount_of(proration.charge, proration.currency),
            "discount": amount_of(proration.discount, proration.currency) if quote.coupon else "",
            "net": amount_of(proration.net, proration.currency),
            "price_before": amount_of(quote.current_cost, proration.currency),
            "price_after": amount_of(quote.target_cost, proration.currency),
            "limits": limit_table(previous, target),
            "missed": missed_now(subscription.account_id, current, target, now),
            "shown_at": rfc3339(now),
        }
        title = f"Change {subscription.account} from {previous} to {target} now?"
        return self.page(
            request, subscription, "preview_change.html", title, **about, **documents_shown(preview.documents)
        )

    def _change(self, request: HttpRequest, subscription: Subscription, target: Plan, now: datetime) -> HttpResponse:
        try:
            shown_at, digest = shown_instant(request.POST.get("shown_at", "")), request.POST.get("digest", "")
            with transaction.atomic():
                preview = staff_changes.change_plan(subscription.account_id, target, now, shown_at, digest)
                net = amount_of(preview.quote.proration.net, preview.quote.proration.currency)
                invoice = f"invoice {preview.changed.invoice}" if preview.changed.invoice else "no invoice"
                done = f"Changed from {preview.quote.period.plan} to {target}: {net}, {invoice}."
                self.log_change(request, subscription, done)
        except refusals.QuoteExpired as stale:
            messages.warning(request, to_staff(stale))
            return self._preview(request, subscription, target, now)
        return self.back(request, subscription, done)

    @page_action("Schedule", permission=MAY_CHANGE, icon="event")
    def schedule_downgrade(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription, now = self.live(request, object_id), timezone.now()
        try:
            if request.method == "POST":
                return self._schedule(request, subscription, on_sale(request.POST.get("target", "")), now)
            return self._choose_downgrade(request, subscription, now)
        except REFUSALS as error:
            return self.refused(request, subscription, error)

    def _choose_downgrade(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        current = current_subscription(subscription.account_id, now)
        about = {
            "current": current,
            "days": days_until(now, current.period.ends_at),
            "table": downgrade_table(subscription.account_id, current, now),
        }
        title = f"Schedule a change of plan for {subscription.account}"
        return self.page(request, subscription, "choose_downgrade.html", title, **about)

    def _schedule(self, request: HttpRequest, subscription: Subscription, target: Plan, now: datetime) -> HttpResponse:
        account = subscription.account_id
        # Asked before the transaction, as the API does: it brings the usage log up to now, whatever is decided.
        in_use = changes.features_in_use(account, target, now)
        try:
            with transaction.atomic():
                changed = changes.downgrade_with_effective_date(account, target, now, in_use)
                done = f"Change to {target} scheduled for {changed.scheduled_at:%Y-%m-%d %H:%M:%S} UTC."
                self.log_change(request, subscription, done)
        except refusals.ActiveFeatures as error:
            messages.error(request, to_staff(error))
            return self._choose_downgrade(request, subscription, now)
        return self.back(request, subscription, done)

    @confirmed_action(
        "Cancel the scheduled change",
        "The present plan stays beyond the period's end.",
        permission=MAY_CHANGE,
        icon="event_busy",
    )
    def cancel_scheduled_change(self, request: HttpRequest, subscription: Subscription) -> HttpResponse:
        if not subscription.is_live:
            raise Http404(ENDED)
        try:
            with transaction.atomic():
                changes.cancel_scheduled_change(subscription.account_id, timezone.now())
                done = f"Scheduled change to {subscription.scheduled_plan} cancelled."
                self.log_change(request, subscription, done)
        except REFUSALS as error:
            return self.refused(request, subscription, error)
        return self.back(request, subscription, done)

    @page_action("Release", permission=MAY_CHANGE, icon="lock_open")
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        subscription, now = self.live(request, object_id), timezone.now()
        try:
            if request.method == "POST":
                return self._release(request, subscription, now)
            return self._preview_release(request, subscription, now)
        except REFUSALS as error:
            return self.refused(request, subscription, error)

    def _preview_release(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        preview = staff_changes.preview_release(subscription, now)
        title = f"Release {subscription.account}?"
        return self.page(
            request, subscription, "release.html", title, preview=preview, **documents_shown(preview.documents)
        )

    def _release(self, request: HttpRequest, subscription: Subscription, now: datetime) -> HttpResponse:
        try:
            with transaction.atomic():
                preview = staff_changes.release(subscription, now, request.POST.get("digest", ""))
                billed = ", ".join(str(invoice) for invoice, _ in preview.documents.invoices) or "nothing"
                done = f"Released. Billed: {billed}."
                self.log_change(request, subscription, f"{done} It was parked: {subscription.parked_because}.")
        except refusals.QuoteExpired as stale:
            messages.warning(request, to_staff(stale))
            return self._preview_release(request, subscription, now)
        return self.back(request, subscription, done)

    @page_action("Issue a credit note", permission="change_invoices", icon="undo")
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Leads to the invoice: what is credited was billed on one."""
        subscription = self.live(request, object_id)
        issued = subscription.invoices.billed()
        table = {"headers": ["Invoice", "Issued (UTC)", "Total", "Can be credited"], "rows": credit_rows(issued)}
        return self.page(request, subscription, "choose_invoice.html", "Issue a credit note", table=table)
