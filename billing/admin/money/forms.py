"""What staff say about money: how much, when, by which reference, why."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from billing.models import Invoice
from billing.models.amounts import too_exact
from billing.models.payments.money import LONGEST_BY_HAND
from billing.payments.receive import is_long_before
from billing.rules.money import UnknownCurrency, minor_units


class AmountForm(forms.Form):
    """An amount in a currency that is known."""

    amount = forms.DecimalField(max_digits=18, decimal_places=4, widget=UnfoldAdminDecimalFieldWidget)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency
        self.fields["amount"].label = f"Amount ({currency})"

    def clean_amount(self) -> Decimal:
        return checked(self.cleaned_data["amount"], self.currency)


def checked(amount: Decimal, currency: str) -> Decimal:
    """Raises ValidationError."""
    if amount <= 0:
        raise ValidationError("Give an amount above 0.")
    if wrong := too_exact(amount, currency):
        raise ValidationError(wrong)
    return amount


class ArrivalForm(forms.Form):
    """When money was received, and what names it."""

    received_on = forms.DateField(
        help_text="In UTC.", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}), label="Received on"
    )
    reference = forms.CharField(
        max_length=LONGEST_BY_HAND,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as the bank's id of the transfer. The same one again is the same money.",
    )

    def clean_received_on(self) -> datetime:
        received = datetime.combine(self.cleaned_data["received_on"], time(), UTC)
        if received > timezone.now():
            raise ValidationError("This day has not come. Record money once it is there.")
        return received


class PaymentForm(ArrivalForm, AmountForm):
    """Of an invoice. A date long before it has to be confirmed."""

    date_is_right = forms.BooleanField(required=False, widget=forms.HiddenInput, label="The date is right")
    field_order = ["amount", "received_on", "date_is_right", "reference"]

    def __init__(self, *args: Any, invoice: Invoice, **kwargs: Any) -> None:
        super().__init__(*args, currency=invoice.currency, **kwargs)
        self.invoice = invoice

    def clean(self) -> dict[str, Any] | None:
        received = self.cleaned_data.get("received_on")
        if received and is_long_before(self.invoice, received):
            self.fields["date_is_right"].widget = UnfoldBooleanWidget()
            if not self.cleaned_data.get("date_is_right"):
                issued = f"{self.invoice.issued_at:%Y-%m-%d}"
                text = (
                    f"That is long before {self.invoice} was issued ({issued}). Confirm it below, or give another day."
                )
                self.add_error("received_on", text)
        return super().clean()


class MoneyForm(ArrivalForm):
    """Of a customer, for no invoice in particular."""

    amount = forms.DecimalField(max_digits=18, decimal_places=4, widget=UnfoldAdminDecimalFieldWidget)
    currency = forms.CharField(
        max_length=3, widget=UnfoldAdminTextInputWidget, help_text="Of the money that came, such as USD."
    )
    field_order = ["amount", "currency", "received_on", "reference"]

    def clean_currency(self) -> str:
        currency = str(self.cleaned_data["currency"]).upper()
        try:
            minor_units(currency)
        except UnknownCurrency as unknown:
            raise ValidationError(str(unknown)) from unknown
        return currency

    def clean(self) -> dict[str, Any] | None:
        amount, currency = self.cleaned_data.get("amount"), self.cleaned_data.get("currency")
        if amount is not None and currency:
            try:
                checked(amount, currency)
            except ValidationError as wrong:
                self.add_error("amount", wrong)
        return super().clean()


def reason_field(help_text: str) -> forms.CharField:
    return forms.CharField(max_length=LONGEST_BY_HAND, widget=UnfoldAdminTextInputWidget, help_text=help_text)


class ReversalForm(AmountForm):
    reason = reason_field("For staff and the customer, such as: charged back by the bank.")
    reference = forms.CharField(
        max_length=LONGEST_BY_HAND,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as the bank's id. The same one again is the same reversal.",
    )


class MoveForm(forms.Form):
    to = forms.CharField(
        label="Where it belongs",
        max_length=LONGEST_BY_HAND,
        widget=UnfoldAdminTextInputWidget,
        help_text="The number of the invoice, or the username of the customer.",
    )
    reason = reason_field("For staff and the customer, such as: recorded on the wrong invoice.")


class PayOutForm(forms.Form):
    currency = forms.ChoiceField(widget=UnfoldAdminSelectWidget, label="Balance")
    amount = forms.DecimalField(max_digits=18, decimal_places=4, widget=UnfoldAdminDecimalFieldWidget)
    reference = forms.CharField(
        max_length=LONGEST_BY_HAND,
        widget=UnfoldAdminTextInputWidget,
        help_text="Such as the bank's id of the transfer. The same one again is the same pay-out.",
    )
    reason = reason_field("For staff.")

    def __init__(self, *args: Any, balances: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["currency"].choices = balances  # type: ignore[attr-defined]
