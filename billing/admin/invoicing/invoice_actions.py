"""What staff do to an invoice: mark it as paid, issue a credit note, void it. The ledger's own functions decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin.action_pages import confirmed_action, page_action
from billing.admin.base import once
from billing.admin.invoicing.documents import amount_of
from billing.admin.money.accounts import received
from billing.admin.money.forms import AmountForm, PaymentForm
from billing.admin.money.previewed import Done, PreviewedActions
from billing.api.sentences import to_staff
from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn
from billing.models.payments.money import MANUAL
from billing.payments.receive import receive
from billing.payments.reversals import settled_by
from billing.rules.money import in_currency

MAY_CHANGE = "change_invoices"
LONGEST = 200


class CreditForm(AmountForm):
    reason = forms.CharField(
        max_length=LONGEST, widget=UnfoldAdminTextInputWidget, help_text="Stands on the credit note."
    )
    seen = forms.DecimalField(widget=forms.HiddenInput)
    """What could be credited, or refunded, when the form was shown, so that pressing twice does it once."""


class InvoiceActions(PreviewedActions[Invoice]):
    actions_detail = ["pay", "credit", "void"]

    def sensible_actions(self, row: Invoice) -> set[str]:
        sensible = {"pay", "void"} if row.status == Invoice.Status.OPEN else set()
        return sensible | {"credit"} if once(row, "creditable", row.creditable) else sensible

    @page_action("Mark as paid", permission=MAY_CHANGE, icon="payments")
    def pay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice, now = self.existing(request, object_id), timezone.now()
        due = in_currency(invoice.due, invoice.currency)

        def note(given: dict[str, Any]) -> Done:
            known = MoneyIn.objects.filter(source=MANUAL, reference=given["reference"]).exists()
            money = receive(
                invoice.account_id,
                invoice.currency,
                given["amount"],
                MANUAL,
                given["reference"],
                given["received_on"],
                now,
                invoice,
            )
            done = received(money, known=known)
            if known or [each for each, _ in settled_by(money)] != [invoice] or money.to_balance:
                return done
            invoice.refresh_from_db()
            left = amount_of(invoice.due, invoice.currency)
            said = f"{amount_of(money.amount, money.currency)} received ({money.reference})"
            return Done(f"{said}, {left} still due, {invoice.status}.", is_plain=True)

        return self.previewed(
            request,
            invoice,
            PaymentForm(request.POST or None, initial={"amount": due, "received_on": now.date()}, invoice=invoice),
            note,
            title=f"Mark {invoice} as paid",
            button="Mark as paid",
            about=f"{_about(invoice)} {amount_of(due, invoice.currency)} is due on it. Less than that leaves it open; "
            "what is more settles the customer's other open invoices, and becomes balance.",
        )

    @page_action("Issue a credit note", permission=MAY_CHANGE, icon="undo")
    def credit(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.existing(request, object_id)
        left = in_currency(invoice.creditable(), invoice.currency)
        form = CreditForm(request.POST or None, initial={"amount": left, "seen": left}, currency=invoice.currency)
        if form.is_valid():
            try:
                return self.back(request, invoice, self._credit(request, invoice, form.cleaned_data))
            except BillingError as refusal:
                # With what can be credited now, so that it can be sent again once it was looked at.
                form = CreditForm({**request.POST.dict(), "seen": left}, currency=invoice.currency)
                form.add_error(None, to_staff(refusal))
        most = amount_of(left, invoice.currency)
        about = (
            f"Up to {most} can be credited. It is taken off what is due on this invoice, then on others; the rest "
            "becomes the customer's balance, which the next invoice uses."
        )
        return self._form(request, invoice, f"Credit {invoice}", "Issue the credit note", form, about)

    def _credit(self, request: HttpRequest, invoice: Invoice, given: dict[str, Any]) -> str:
        with transaction.atomic():
            note = credit_notes.credit(invoice, given["amount"], given["reason"], timezone.now())
            # Under the ledger's lock: what could be credited before.
            if invoice.creditable() + note.amount != given["seen"]:
                raise BillingError("credited_meanwhile", invoice=str(invoice))
            done = f"Credit note {note} over {amount_of(note.amount, note.currency)}: {note.reason}"
            self.log_change(request, invoice, done)
            return done

    @confirmed_action(
        "Void the invoice",
        lambda invoice: (
            f"{amount_of(invoice.total, invoice.currency)} of {invoice.account} count as never billed. "
            "The subscription goes on as it is. This cannot be undone."
        ),
        permission=MAY_CHANGE,
        icon="block",
        danger=True,
    )
    def void(self, request: HttpRequest, invoice: Invoice) -> HttpResponse:
        try:
            with transaction.atomic():
                credit_notes.void(invoice, timezone.now())
                self.log_change(request, invoice, "Voided.")
        except BillingError as refusal:
            return self.back(request, invoice, f"{to_staff(refusal)}.", messages.ERROR)
        return self.back(request, invoice, f"{invoice} is void.")

    def _form(
        self, request: HttpRequest, invoice: Invoice, title: str, button: str, form: forms.Form, about: str
    ) -> HttpResponse:
        about = f"{_about(invoice)} {about}"
        return self.page(request, invoice, "form.html", title, form=form, button=button, about=about)


def _about(invoice: Invoice) -> str:
    return f"{invoice} of {invoice.account}, {amount_of(invoice.total, invoice.currency)}."
