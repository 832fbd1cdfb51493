"""Staff give money back to the card it came from."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import page_action
from billing.admin.base import once
from billing.admin.invoicing.documents import amount_of
from billing.admin.invoicing.invoice_actions import MAY_CHANGE, CreditForm
from billing.api.sentences import to_staff
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, Refund
from billing.payments.cards import refunds
from billing.payments.cards.configured import card_gateway
from billing.payments.refunds import due_first
from billing.rules.money import in_currency

if TYPE_CHECKING:
    from billing.admin.action_pages import ActionPages

    Base = ActionPages[Invoice]
else:
    Base = object
SAID = {
    Refund.State.SUCCEEDED: ("goes back to the card", messages.SUCCESS),
    Refund.State.FAILED: ("was refused by the provider, and is balance of the customer", messages.ERROR),
}
UNDER_WAY = ("is under way; what becomes of it is found out", messages.INFO)


class CardRefundAction(Base):
    """Of an invoice's page. The credit note is one transaction; the provider is called after it."""

    def can_refund(self, row: Invoice) -> bool:
        return card_gateway() is not None and once(row, "card_refundable", lambda: _most(row)) > 0

    @page_action("Refund by card", permission=MAY_CHANGE, icon="currency_exchange")
    def refund(self, request: HttpRequest, object_id: str) -> HttpResponse:
        invoice = self.existing(request, object_id)
        if (why_not := _why_not(invoice)) and request.method == "GET":
            return self.back(request, invoice, why_not, messages.ERROR)
        most = in_currency(min(_most(invoice), invoice.creditable()), invoice.currency)
        form = CreditForm(request.POST or None, initial={"amount": most, "seen": most}, currency=invoice.currency)
        if form.is_valid():
            try:
                return self._refund(request, invoice, most, form.cleaned_data)
            except BillingError as refusal:
                form = CreditForm({**request.POST.dict(), "seen": most}, currency=invoice.currency)
                form.add_error(None, to_staff(refusal))
        shown = amount_of(most, invoice.currency)
        about = (
            f"{invoice} of {invoice.account}. Up to {shown} can go back to the card it came from. A credit note over "
            "the amount is issued; the provider gives the money back, and the customer gets a mail once it has."
        )
        said: dict[str, Any] = {"form": form, "button": "Refund", "about": about}
        return self.page(request, invoice, "form.html", f"Refund {invoice} by card", **said)

    def _refund(self, request: HttpRequest, invoice: Invoice, most: Decimal, given: dict[str, Any]) -> HttpResponse:
        gateway = card_gateway()
        if gateway is None or given["seen"] != most:
            raise BillingError("credited_meanwhile", invoice=str(invoice))
        row = refunds.refund(gateway, invoice, given["amount"], given["reason"], timezone.now())
        became, level = SAID.get(Refund.State(row.state), UNDER_WAY)
        said = f"{amount_of(row.amount, row.currency)} {became}."
        self.log_change(request, invoice, f"Refund by card: {said}")
        return self.back(request, invoice, said, level)


def _why_not(invoice: Invoice) -> str:
    """Why nothing can go back now; empty where something can."""
    if _most(invoice) <= 0:
        return f"Nothing of {invoice} can go back to a card."
    due = in_currency(due_first(invoice), invoice.currency)
    return to_staff(BillingError("refund_while_due", due=due, currency=invoice.currency)) if due else ""


def _most(invoice: Invoice) -> Decimal:
    """Of one charge: each refund goes back by one."""
    gateway = card_gateway()
    able = refunds.refundable(invoice, gateway.name) if gateway is not None else []
    return max((left for _, left in able), default=Decimal(0))
