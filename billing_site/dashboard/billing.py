"""Invoices, credit notes, the balance, and how documents name the customer."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.api.documents.document_views import issued_to, noted_for
from billing.api.documents.pdf_views import as_file
from billing.documents import issued
from billing.invoicing import ledger
from billing.members.rights import Right
from billing.models import BalanceEntry, BillingDetails, CreditNote, Invoice, PastDue, Seller
from billing.payments.cards.configured import card_gateway
from billing_site.dashboard.access import DashboardRequest, dashboard_page
from billing_site.dashboard.forms import saying_why_not
from billing_site.dashboard.payments import token_payments
from billing_site.dashboard.payments.paying import is_payable

A_PAGE = 25


class DetailsForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = BillingDetails
        fields = ["name", "address", "city", "postcode", "country", "vat_id"]
        widgets = {"address": forms.Textarea(attrs={"rows": 2, "autocomplete": "street-address"})}
        labels = {
            "name": gettext_lazy("Name"),
            "address": gettext_lazy("Street and number"),
            "city": gettext_lazy("City"),
            "postcode": gettext_lazy("Postcode"),
            "country": gettext_lazy("Country"),
            "vat_id": gettext_lazy("VAT number"),
        }
        help_texts = {
            "address": "",
            "country": gettext_lazy("Two capital letters, such as DE. It decides about tax."),
            "vat_id": gettext_lazy("Of companies; in the EU with the country's letters, such as DE123456789."),
        }


@dashboard_page()
def show(request: DashboardRequest) -> HttpResponseBase:
    account = request.acting.account
    invoices = Paginator(Invoice.objects.issued().filter(account=account), A_PAGE)
    movements = BalanceEntry.objects.filter(account=account).order_by("-created_at", "-pk")
    movements = movements.with_reasons()
    balances = ledger.balances([account])
    context: dict[str, Any] = {
        "invoices": invoices.get_page(request.GET.get("page")),
        "notes": noted_for(account)[:A_PAGE],
        "balances": [(amount, -amount, currency) for (_, currency), amount in sorted(balances.items()) if amount],
        "movements": movements[:A_PAGE],
        "details": BillingDetails.objects.filter(account=account).first(),
        "due": list(Invoice.objects.due().filter(account=account)),
        "seller": Seller.objects.first(),
        "takes_cards": card_gateway() is not None,
        "may_bill": Right.BILL in request.acting.rights,
        "past_due_since": PastDue.objects.since([account]).get(account),
        **token_payments.pay_outs(request),
    }
    return render(request, "dashboard/billing.html", context)


@dashboard_page()
def invoice(request: DashboardRequest, number: str) -> HttpResponseBase:
    found = get_object_or_404(issued_to(request.acting.account), number=number)
    context = {
        "invoice": found,
        "has_pdf": issued.has_document(found),
        "can_pay": Right.BILL in request.acting.rights and is_payable(found),
        "tokens": token_payments.ways(request, found),
        "seller": Seller.objects.first(),
    }
    return render(request, "dashboard/invoice.html", context)


@dashboard_page()
def invoice_pdf(request: DashboardRequest, number: str) -> HttpResponseBase:
    found = get_object_or_404(Invoice.objects.issued(), account=request.acting.account, number=number)
    with saying_why_not(request):
        if found.status == Invoice.Status.VOID:
            raise issued.NoDocument(reason="void", number=number)
        return as_file(request, issued.of_invoice(found))
    return redirect("dashboard-invoice", number)


@dashboard_page()
def note_pdf(request: DashboardRequest, number: str) -> HttpResponseBase:
    notes = CreditNote.objects.select_related("invoice")
    found = get_object_or_404(notes, account=request.acting.account, number=number)
    with saying_why_not(request):
        return as_file(request, issued.of_credit_note(found))
    return redirect("dashboard-billing")


@dashboard_page(Right.BILL)
def details(request: DashboardRequest) -> HttpResponseBase:
    """How invoices name the customer from now on."""
    account = request.acting.account
    kept = BillingDetails.objects.filter(account=account).first() or BillingDetails(account_id=account)
    form = DetailsForm(request.POST or None, instance=kept, label_suffix="")
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved. Invoices from now on bear these details."))
        return redirect("dashboard-billing")
    return render(request, "dashboard/details.html", {"form": form})
