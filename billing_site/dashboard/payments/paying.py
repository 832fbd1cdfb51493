"""Paying an invoice: by a saved card, or on the provider's page; and coming back from there."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from billing.members.rights import Right
from billing.models import Invoice, PaymentAttempt, PaymentMethod
from billing.payments.cards import methods
from billing.payments.cards.answers import Declined
from billing.payments.cards.charging import pages, paying
from billing.payments.cards.charging.attempts import State
from billing.payments.cards.charging.pages import Ways
from billing.payments.cards.charging.paying import ChargeDeclined
from billing.payments.cards.configured import card_gateway
from billing.payments.cards.gateway import Gateway
from billing.rules.payments.declines import kind_of
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import saying_why_not
from billing_site.dashboard.payments import declines
from billing_site.dashboard.payments.leaving import leave_for

BY_PAGE = "page"
"""In the form, in the place of a saved card's number."""


def is_payable(invoice: Invoice) -> bool:
    """Whether there is a page on which it can be paid."""
    return invoice.status == Invoice.Status.OPEN and card_gateway() is not None


@dashboard_page(Right.BILL)
def pay(request: DashboardRequest, number: str) -> HttpResponseBase:
    """Show how an invoice can be paid, and pay it in the way that was chosen."""
    invoice = get_object_or_404(Invoice.objects.issued(), account=request.acting.account, number=number)
    gateway = card_gateway()
    if gateway is None or not is_payable(invoice):
        return redirect("dashboard-invoice", number)
    cards = methods.methods_of(invoice.account_id)
    if request.method == "POST":
        chosen = next((card for card in cards if str(card.pk) == request.POST.get("method")), None)
        with saying_why_not(request):
            try:
                return _pay(request, gateway, invoice, chosen)
            except ChargeDeclined as declined:
                messages.error(request, _why(declined.decline_code))
        return redirect("dashboard-pay", number)
    attempt = PaymentAttempt.objects.filter(invoice=invoice).order_by("-number").first()
    context: dict[str, Any] = {
        "invoice": invoice,
        "cards": cards,
        "attempt": attempt,
        "why": _why(attempt.decline_code) if attempt and attempt.state == State.FAILED else "",
    }
    return render(request, "dashboard/pay.html", context)


def _pay(
    request: DashboardRequest, gateway: Gateway, invoice: Invoice, chosen: PaymentMethod | None
) -> HttpResponseBase:
    """Not within a transaction, as the provider is called. Sent twice, the second finds the attempt of the first."""
    ways, now = _ways(request, invoice), request.acting.now
    if chosen is None:
        paid = paying.by_page(gateway, invoice, ways, now)
    else:
        paid = paying.pay(gateway, invoice, chosen, ways, now)
    if paid.outcome == paying.Outcome.ACTION_REQUIRED:
        return leave_for(request, paid.url)
    if paid.outcome == paying.Outcome.PAID:
        messages.success(request, _("Thank you. The invoice is paid."))
    else:
        messages.info(request, _("The payment is under way. This page shows it as soon as it is known."))
    return redirect("dashboard-invoice", str(invoice))


def _why(code: str) -> str:
    return declines.on_page(Declined(code, kind_of(code)))


def _ways(request: DashboardRequest, invoice: Invoice) -> Ways:
    done, left = (reverse(name, args=[invoice.number]) for name in ("dashboard-paid", "dashboard-pay"))
    back = f"{request.build_absolute_uri(done)}?page={{page}}"
    return Ways(back, request.build_absolute_uri(left), get_language() or "")


@dashboard_page(Right.BILL)
def paid(request: DashboardRequest, number: str) -> HttpResponseBase:
    """Back from the provider's page: what became of it is asked there, not taken from the address."""
    invoice = get_object_or_404(Invoice.objects.issued(), account=request.acting.account, number=number)
    gateway = card_gateway()
    page = request.GET.get("page", "").replace("\0", "")
    attempt = pages.returned(gateway, invoice, page, request.acting.now) if gateway and page else None
    if attempt is not None and attempt.state == State.SUCCEEDED:
        messages.success(request, _("Thank you. The invoice is paid."))
    elif attempt is not None and attempt.state == State.NEEDS_ACTION:
        messages.warning(request, _("Nothing was paid yet."))
        return redirect("dashboard-pay", number)
    elif attempt is not None and attempt.state in (State.SENT, State.UNKNOWN):
        messages.info(request, _("The payment is under way. This page shows it as soon as it is known."))
    return redirect("dashboard-invoice", number)
