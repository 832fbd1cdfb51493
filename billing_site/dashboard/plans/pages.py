"""Plans: what there is, what a change would cost, changing, keeping and canceling."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing.invoicing import taxation
from billing.members.rights import Right
from billing.models import Feature, Plan, TokenPack
from billing.rules.plan_change import Available, blockers
from billing.rules.refused import Refused
from billing.rules.usage_window import window_on
from billing.subscriptions import canceling, changes, next_invoice
from billing.subscriptions.coupons import discounts
from billing.subscriptions.current import CurrentSubscription, current_subscription
from billing.subscriptions.offers import Offers
from billing.subscriptions.previews import calculate_proration
from billing.subscriptions.quotes import Quote
from billing.subscriptions.refusals import NoSubscription, QuoteExpired
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import back_to, confirm, saying_why_not, typed
from billing_site.dashboard.plans.cards import cards_of
from billing_site.dashboard.sentences import SHOWN_ANEW, on_page
from usage.reports.activity import last_uses

PLANS = "dashboard-plans"
LONGEST_REASON = 200


def present(request: DashboardRequest) -> CurrentSubscription | None:
    """The account's current subscription; None without any."""
    try:
        return current_subscription(request.acting.account, request.acting.now)
    except NoSubscription:
        return None


def following_amount(current: CurrentSubscription | None) -> Decimal | None:
    """What the next invoice comes to; None where none follows."""
    return current.next_invoice_amount if current is not None and current.cancel_at is None else None


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    acting, current = request.acting, present(request)
    offers = Offers(acting.account, acting.now)
    has_quota = current is not None and current.plan.monthly_token_quota is not None
    context = {
        "current": current,
        "next_amount": following_amount(current),
        "tax": taxation.treatment_of(acting.account, acting.now),
        "cards": cards_of(offers, current),
        "features": Feature.objects.select_related("capability"),
        "packs": TokenPack.objects.filter(is_on_sale=True) if has_quota else (),
        "renewed_at": window_on(current.subscription, current.plan, acting.now).end if current else None,
        "redemption": discounts.active(acting.account),
        "may_bill": Right.BILL in acting.rights,
        "is_cancelable": current is not None and current.cancel_at is None and not current.plan.is_default,
        "overage_price": current and (current.period.overage_price or current.plan.overage_price),
    }
    return render(request, "dashboard/plans.html", context)


@dashboard_page(Right.BILL)
def change(request: DashboardRequest, code: str) -> HttpResponseBase:
    """Show what a change to a plan means, and make it when that was confirmed.

    A form that asked for another way to the plan than there is by now confirms nothing.
    """
    target = get_object_or_404(Plan.objects.on_sale(), code=code)
    way = Offers(request.acting.account, request.acting.now).available(target)
    is_confirmed = request.method == "POST" and request.POST.get("way") == way
    if request.method == "POST" and way is not None and not is_confirmed:
        messages.warning(request, SHOWN_ANEW)
    if way is Available.NOW:
        return _upgrade(request, target, is_confirmed=is_confirmed)
    if way is Available.AT_PERIOD_END:
        return _downgrade(request, target, is_confirmed=is_confirmed)
    if way is None:
        messages.info(request, _("You are on %(plan)s already.") % {"plan": target.name})
    else:
        messages.warning(request, _("Only our staff can make this change. Please contact support."))
    return back_to(PLANS)


def _upgrade(request: DashboardRequest, target: Plan, *, is_confirmed: bool) -> HttpResponseBase:
    with_trial = request.POST.get("trial", request.GET.get("trial", "yes")) != "no"
    if is_confirmed:
        try:
            confirm(request, _upgraded(request, target, trial=with_trial))
            return back_to(PLANS)
        except QuoteExpired as expired:
            messages.warning(request, on_page(expired))
        except Refused as refused:
            messages.error(request, on_page(refused))
            return back_to(PLANS)
    acting = request.acting
    with saying_why_not(request):
        quote = calculate_proration(acting.account, target, acting.now, trial=with_trial)
        taxed = {"tax": taxation.treatment_of(acting.account, acting.now)}
        return render(request, "dashboard/upgrade.html", _preview(quote, with_trial=with_trial) | taxed)
    return back_to(PLANS)


def _upgraded(request: DashboardRequest, target: Plan, *, trial: bool) -> Callable[[], str]:
    account, now = request.acting.account, request.acting.now
    quoted_at, digest = _instant(request.POST.get("quoted_at", "")), request.POST.get("digest", "")
    if quoted_at is None:
        raise QuoteExpired(reason="unseen")

    def make() -> str:
        changed = changes.upgrade(account, target, now, quoted_at, digest, trial=trial)
        if changed.trial_ends_at:
            until = date_format(timezone.localtime(changed.trial_ends_at))
            return _("Your trial of %(plan)s has begun. It ends on %(until)s.") % {"plan": target.name, "until": until}
        if changed.invoice is None:
            return _("You are on %(plan)s now.") % {"plan": target.name}
        values = {"plan": target.name, "invoice": changed.invoice.number}
        return _("You are on %(plan)s now. Your invoice is %(invoice)s.") % values

    return make


def _instant(text: str) -> datetime | None:
    try:
        at = parse_datetime(text)
    except ValueError:
        return None
    return at if at is not None and timezone.is_aware(at) else None


def _preview(quote: Quote, *, with_trial: bool) -> dict[str, Any]:
    settled = next_invoice.settled(quote)
    return {
        "quote": quote,
        "bill": quote.bill(quote.at),
        "settled": settled,
        "next": next_invoice.after(quote, settled.balance_left),
        "digest": quote.digest(),
        "with_trial": with_trial,
    }


def _downgrade(request: DashboardRequest, target: Plan, *, is_confirmed: bool) -> HttpResponseBase:
    account, now = request.acting.account, request.acting.now
    try:
        in_use = changes.features_in_use(account, target, now)  # before the transaction of `confirm`
    except Refused as refused:
        messages.error(request, on_page(refused))
        return back_to(PLANS)
    blocking = blockers(in_use, target.capability_codes())
    if is_confirmed and not blocking:

        def make() -> str:
            subscription = changes.downgrade_with_effective_date(account, target, now, in_use)
            assert subscription.scheduled_at is not None
            values = {"plan": target.name, "date": date_format(timezone.localtime(subscription.scheduled_at))}
            return _("%(plan)s follows on %(date)s.") % values

        with saying_why_not(request):
            confirm(request, make)
        return back_to(PLANS)
    uses = last_uses(account, blocking, now) if blocking else []
    context = {
        "target": target,
        "current": present(request),
        "blocking": blocking,
        "uses": uses,
        "unexplained": sorted(set(blocking) - {use.capability for use in uses}),
        "free_from": max((use.free_from for use in uses), default=None),
    }
    return render(request, "dashboard/downgrade.html", context)


@dashboard_page(Right.BILL)
def cancel(request: DashboardRequest) -> HttpResponseBase:
    """Ask, and let the subscription end with its period."""
    account, now = request.acting.account, request.acting.now
    if request.method == "POST":
        reason = typed(request, "reason", LONGEST_REASON)

        def make() -> str:
            at = canceling.cancel(account, now, reason).at
            return _("Your subscription ends on %(date)s.") % {"date": date_format(timezone.localtime(at))}

        with saying_why_not(request):
            confirm(request, make)
        return back_to(PLANS)
    current = present(request)
    if current is None or current.plan.is_default:
        return back_to(PLANS)
    return render(request, "dashboard/cancel.html", {"current": current, "then": Plan.objects.default()})


@require_POST
@dashboard_page(Right.BILL)
def keep(request: DashboardRequest) -> HttpResponseBase:
    """Drop what is to follow: the end, or another plan."""
    account, now = request.acting.account, request.acting.now

    def make() -> str:
        current = current_subscription(account, now)
        if current.subscription.cancel_at is not None:
            canceling.withdraw(account, now)
        else:
            changes.cancel_scheduled_change(account, now)
        return _("You keep %(plan)s.") % {"plan": current.plan.name}

    with saying_why_not(request):
        confirm(request, make)
    return redirect(PLANS)
