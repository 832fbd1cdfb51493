"""What staff do to an invoice: mark it as paid, issue a credit note, void it. The ledger's own functions decide."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminTextInputWidget

from billing.admin.action_pages import ActionPages, confirmed_action, page_action
from billing.admin.base import once
from billing.admin.invoicing.documents import amount_of
from billing.api.sentences import to_staff
from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, Payment
from billing.models.money import MANUAL
from billing.payments.receive import receive
from billing.rules.money import in_currency, is_exact, minor_units

MAY_CHANGE = "change_invoices"
LONGEST = 200


class AmountForm(forms.Form):
    """An amount in the invoice's currency."""

    amount = forms.DecimalField(max_digits=18, decimal_places=4, widget=UnfoldAdminDecimalFieldWidget)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        self.fields["amount"].label = f"Amount ({currency})"

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        if amount <= 0:
            raise ValidationError("Give an amount above 0.")
        if not is_exact(amount, self.currency):
            raise ValidationError(f"{self.currency} has {minor_units(self.currency)} decimals; {amount} has more.")
        return amount


class PaymentForm(AmountForm):
    received_on = forms.DateField(
        help_text="In UTC.", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}), label="Received on"
    )
    reference = forms.CharField(
        max_length=LONGEST,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as the bank's or the card processor's id. The same one again is the same payment.",
    )

    def clean_received_on(self) -> datetime:
        received = datetime.combine(self.cleaned_data["received_on"], time(), UTC)
        if received > timezone.now():
            raise ValidationError("This day has not come. Record a payment once it is there.")
        return received


class CreditForm(AmountForm):
    reason = forms.CharField(
        max_length=LONGEST, widget=UnfoldAdminTextInputWidget, help_text="Stands on the credit note."
    )
    seen = forms.DecimalField(widget=forms.HiddenInput)
    """What could be credited when the form was shown, so that pressing twice credits once."""


class InvoiceActions(ActionPages[Invoice]):
    actions_detail = ["pay", "credit", "void"]

    def sensible_actions(self, row: Invoice) -> set[str]:
        sensible = {"pay", "void"} if row.status == Invoice.Status.OPEN else set()
        return sensible | {"credit"} if once(row, "creditable", row.creditable) else sensible

    @page_action("Mark as paid", permission=MAY_CHANGE, icon="payments")
    def pay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice, now = self.existing(request, object_id), timezone.now()
        due = in_currency(invoice.due, invoice.currency)
        first = {"amount": due, "received_on": now.date()}
        form = PaymentForm(request.POST or None, initial=first, currency=invoice.currency)
        if form.is_valid():
            try:
                return self.back(request, invoice, self._record(request, invoice, form.cleaned_data))
            except BillingError as refusal:
                form.add_error(None, to_staff(refusal))
        about = f"{amount_of(due, invoice.currency)} is due on it. Less than that leaves it open."
        return self._form(request, invoice, f"Mark {invoice} as paid", "Mark as paid", form, about)

    def _record(self, request: HttpRequest, invoice: Invoice, given: dict[str, Any]) -> str:
        with transaction.atomic():
            known = Payment.objects.filter(invoice=invoice, reference=given["reference"]).exists()
            payment = receive(
                invoice.account_id,
                invoice.currency,
                given["amount"],
                MANUAL,
                given["reference"],
                given["received_on"],
                timezone.now(),
                invoice,
            )
            received = f"{amount_of(payment.amount, invoice.currency)} received ({payment.reference})"
            if known:
                return f"{received} was recorded before; nothing was added."
            left = amount_of(invoice.due, invoice.currency)
            done = f"{received}, {left} still due, {invoice.status}."
            self.log_change(request, invoice, done)
            return done

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
        "The invoice counts as never billed. This cannot be undone.",
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
        about = f"{invoice} of {invoice.account}, {amount_of(invoice.total, invoice.currency)}. {about}"
        return self.page(request, invoice, "form.html", title, form=form, button=button, about=about)
