"""What can be had beside a plan: tokens on top, tokens above the quota, coupons."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from billing.api.subscriptions.coupon_codes import guessing
from billing.entitlements import token_packs
from billing.invoicing import taxation
from billing.members.rights import Right
from billing.models import TokenPack
from billing.subscriptions.coupons import redeeming
from billing.subscriptions.current import current_subscription
from billing.subscriptions.overage.cap import set_cap
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import back_to, confirm, saying_why_not, typed
from billing_site.dashboard.plans.pages import PLANS
from ratelimit.limits import LARGEST_NUMBER

LONGEST_CODE = 50


class CapForm(forms.Form):
    cap_tokens = forms.IntegerField(min_value=0, max_value=LARGEST_NUMBER, required=False)


@dashboard_page(Right.BILL)
def buy(request: DashboardRequest, code: str) -> HttpResponseBase:
    """Show what a pack costs, and buy it when that was confirmed."""
    account, now = request.acting.account, request.acting.now
    pack = get_object_or_404(TokenPack, code=code, is_on_sale=True)
    if request.method == "POST":

        def make() -> str:
            bought = token_packs.buy(account, pack, now)
            if bought.valid_until is not None:
                return _("%(pack)s is yours; its tokens count from now on.") % {"pack": pack.name}
            number = bought.invoice.number if bought.invoice else ""
            return _("Your invoice is %(invoice)s. The tokens count once it is paid.") % {"invoice": number}

        with saying_why_not(request):
            confirm(request, make)
        return back_to(PLANS)
    with saying_why_not(request):
        current = current_subscription(account, now)
        lapses_at = token_packs.lapses_at(current.subscription, current.plan, pack, now)
        gross = taxation.gross_of(account, pack.currency, pack.price, now)
        return render(request, "dashboard/pack.html", {"pack": pack, "gross": gross, "lapses_at": lapses_at})
    return back_to(PLANS)


@require_POST
@dashboard_page(Right.BILL)
def cap(request: DashboardRequest) -> HttpResponseBase:
    """How many tokens above the quota may be used; nothing given: as many as the plan says."""
    form = CapForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give a whole number of tokens: 0 for none."))
        return back_to(PLANS)
    most = form.cleaned_data["cap_tokens"]

    def make() -> str:
        set_cap(request.acting.account, most, request.acting.now)
        if most == 0:
            return _("Calls stop at the quota.")
        return _("The limit for tokens above the quota is set.")

    with saying_why_not(request):
        confirm(request, make)
    return back_to(PLANS)


@require_POST
@dashboard_page(Right.BILL)
def coupon(request: DashboardRequest) -> HttpResponseBase:
    """Redeem the code that was typed, or give the present coupon up."""
    account, now = request.acting.account, request.acting.now
    code = typed(request, "code", LONGEST_CODE + 1)

    def redeem() -> str:
        redemption = redeeming.redeem(account, code, now)
        return _("%(code)s is redeemed: %(off)s off.") % {"code": code.upper(), "off": redemption.coupon.takes()}

    def give_up() -> str:
        redeeming.give_up(account, now)
        return _("The coupon is given up.")

    with saying_why_not(request):
        if request.POST.get("give_up"):
            confirm(request, give_up)
        else:
            with guessing(account):
                confirm(request, redeem)
    return back_to(PLANS)
