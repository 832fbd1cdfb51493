"""Paying an invoice in a stablecoin, and having balance paid out in one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.members.rights import Right
from billing.models import CryptoRefund, Invoice, PaymentRequest, Token
from billing.payments.chains import configuration, refunds, requests
from billing.payments.chains.requests import Standing, State
from billing.rules.money import in_currency
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import back_to, confirm, saying_why_not

GOES_ON = frozenset({State.WAITING, State.SEEN, State.PART_PAID, State.REVERSED})


class RefundForm(forms.Form):
    amount = forms.DecimalField(label=gettext_lazy("Amount"), max_digits=18, decimal_places=4, min_value=0)
    to_address = forms.CharField(
        label=gettext_lazy("Your address"),
        max_length=64,
        help_text=gettext_lazy("Where you receive it, such as 0x… Copy it from your wallet: what is sent is gone."),
    )


@dashboard_page(Right.BILL)
def pay(request: DashboardRequest, number: str, code: str) -> HttpResponseBase:
    """Ask for an address to pay to, by the form on the invoice's page; then show how to pay, and how it stands."""
    invoice = get_object_or_404(Invoice.objects.issued(), account=request.acting.account, number=number)
    token = get_object_or_404(Token.objects.select_related("chain"), code=code)
    if request.method == "POST":
        with saying_why_not(request):
            requests.request_payment(invoice, token, request.acting.now)
            return redirect("dashboard-token-payment", number, code)
        return redirect("dashboard-invoice", number)
    found = _request_of(request, number, code)
    return render(request, "dashboard/token_payment.html", _page(request, found))


@dashboard_page(Right.BILL)
def state(request: DashboardRequest, number: str, code: str) -> HttpResponseBase:
    """The part of the page that is drawn again. Where another amount is to be sent, the whole page is."""
    about = _page(request, _request_of(request, number, code), with_code=False)
    response = render(request, "dashboard/token_payment_state.html", about)
    if request.GET.get("shown") != about["shown"]:
        response["HX-Refresh"] = "true"
    return response


@dashboard_page(Right.BILL)
def refund(request: DashboardRequest, code: str) -> HttpResponseBase:
    """Have balance paid out: the customer names an address while logged in, and staff send it there."""
    account, now = request.acting.account, request.acting.now
    token = get_object_or_404(Token.objects.select_related("chain"), code=code, is_enabled=True)
    most = in_currency(refunds.refundable(account, token), token.currency)
    form = RefundForm(request.POST or None, initial={"amount": most}, label_suffix="")
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data

        def ask() -> str:
            asked = refunds.request_refund(
                account, token, given["amount"], given["to_address"].strip(), request.acting.user, now
            )
            return _("%(refund)s: our staff will send it.") % {"refund": asked}

        with saying_why_not(request):
            confirm(request, ask)
            return back_to("dashboard-billing")
    return render(request, "dashboard/token_refund.html", {"token": token, "form": form, "most": most})


def ways(request: DashboardRequest, invoice: Invoice) -> list[Token]:
    """Tokens in which the present person can pay the invoice."""
    may = Right.BILL in request.acting.rights and invoice.status == Invoice.Status.OPEN
    return configuration.payable(invoice.currency) if may else []


def pay_outs(request: DashboardRequest) -> dict[str, Any]:
    """For the page of the balance: tokens that it can be paid out in, and what was asked for before."""
    account = request.acting.account
    if Right.BILL not in request.acting.rights or not configuration.is_on():
        return {}
    tokens = [token for token in configuration.payable() if refunds.refundable(account, token) > 0]
    asked = CryptoRefund.objects.filter(account=account).select_related("token__chain", "refund")
    return {"pay_out_tokens": tokens, "crypto_refunds": asked[:25]}


def _request_of(request: DashboardRequest, number: str, code: str) -> PaymentRequest:
    """Raises Http404."""
    rows = PaymentRequest.objects.select_related("token__chain", "address", "invoice")
    return get_object_or_404(rows, invoice__account=request.acting.account, invoice__number=number, token__code=code)


def _page(request: DashboardRequest, found: PaymentRequest, *, with_code: bool = True) -> dict[str, Any]:
    stands: Standing = requests.standing(found)
    is_open = found.token in configuration.payable(found.invoice.currency)
    is_shown = is_open and stands.to_send > 0 and found.shown_until > request.acting.now and stands.state in GOES_ON
    about: dict[str, Any] = {
        "invoice": found.invoice,
        "token": found.token,
        "chain": found.token.chain,
        "stands": stands,
        "shown": str(in_currency(stands.to_send, found.invoice.currency)) if is_shown else "",
        "goes_on": stands.state in GOES_ON,
        "is_open": is_open,
    }
    if is_shown and with_code:
        about["send"] = requests.instructions(found, stands.to_send)
        about["units_shown"] = found.token.terms.shown(found.token.terms.units(stands.to_send))
    return about
