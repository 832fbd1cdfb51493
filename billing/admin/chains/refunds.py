"""Pay-outs in tokens: staff look, approve, send by their own wallet, and name the transaction."""

from __future__ import annotations

import re
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from billing.admin.action_pages import ActionPages, confirmed_action, page_action
from billing.admin.base import ReadOnly
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.api.sentences import to_staff
from billing.models import CryptoRefund
from billing.payments.chains import refunds
from billing.payments.chains.refusals import ChainRefused
from billing.users import User

STATES = {
    "requested": "warning",
    "approved": "warning",
    "sent": "info",
    "confirmed": "success",
    "declined": "default",
}


class TransactionForm(forms.Form):
    tx_hash = forms.CharField(
        label="Transaction",
        max_length=66,
        widget=UnfoldAdminTextInputWidget,
        help_text="Its hash, as your wallet shows it: 0x and 64 digits and letters.",
    )

    def clean_tx_hash(self) -> str:
        given: str = self.cleaned_data["tx_hash"].strip().lower()
        if not re.fullmatch(r"0x[0-9a-f]{64}", given):
            raise ValidationError("This is no hash of a transaction.")
        return given


@admin.register(CryptoRefund)
class CryptoRefundAdmin(ReadOnly, ActionPages[CryptoRefund]):
    """The site can send nothing: it knows no private key. The watcher sees what was sent."""

    list_display = ["requested_at", "account", "amount_shown", "token", "state_shown", "to_address"]
    list_display_links = ["requested_at"]
    list_filter = ["state", "token", ("requested_at", Days)]
    sortable_by = ["requested_at"]
    search_fields = ["to_address", "tx_hash"]
    search_help_text = f"Address, transaction. {SHOWN}"
    by_account = "account"
    fields = [
        ("account", "amount_shown"),
        ("token", "state"),
        "to_address",
        ("requested_by", "requested_at"),
        ("decided_by", "decided_at"),
        "to_send",
        ("tx_hash", "confirmed_at"),
        "problem",
    ]
    readonly_fields = ["amount_shown", "to_send"]
    actions_detail = ["approve", "decline", "sent"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[CryptoRefund]:
        return super().get_queryset(request).select_related("account", "token__chain", "refund")

    def has_send_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_cryptorefund"))

    def sensible_actions(self, row: CryptoRefund) -> set[str]:
        state = CryptoRefund.State
        of_state = {state.REQUESTED: {"approve", "decline"}, state.APPROVED: {"sent", "decline"}}
        return of_state.get(state(row.state), set())

    @confirmed_action(
        "Approve",
        "It is to be sent to the address that the customer has named. Compare address and amount; afterwards this page "
        "has the link for your wallet.",
        permission="send",
        icon="check",
    )
    def approve(self, request: HttpRequest, refund: CryptoRefund) -> HttpResponse:
        return self._do(request, refund, lambda: refunds.approve(refund, _staff(request), timezone.now()), "Approved.")

    @confirmed_action(
        "Decline",
        "The amount is the customer's balance again. Do not decline what was sent already: name its transaction.",
        permission="send",
        icon="close",
        danger=True,
    )
    def decline(self, request: HttpRequest, refund: CryptoRefund) -> HttpResponse:
        return self._do(request, refund, lambda: refunds.decline(refund, _staff(request), timezone.now()), "Declined.")

    @page_action("It was sent", permission="send", icon="send")
    def sent(self, request: HttpRequest, object_id: str) -> HttpResponse:
        refund = self.existing(request, object_id)
        form = TransactionForm(request.POST or None)
        if form.is_valid():
            tx_hash = form.cleaned_data["tx_hash"]
            said = f"Sent by {tx_hash}."
            return self._do(request, refund, lambda: refunds.note_sent(refund, tx_hash, timezone.now()), said)
        about = f"{refund}. The watcher looks whether the transaction transfers just that, and confirms it once."
        return self.page(request, refund, "form.html", "It was sent", form=form, button="Note it", about=about)

    @admin.display(description="amount")
    def amount_shown(self, row: CryptoRefund) -> str:
        return amount_of(row.refund.amount, row.refund.currency)

    @admin.display(description="for your wallet")
    def to_send(self, row: CryptoRefund) -> str:
        if row.state != CryptoRefund.State.APPROVED:
            return "nothing to send"
        link = refunds.link(row)
        return format_html('<a class="text-primary-600 dark:text-primary-500 break-all" href="{}">{}</a>', link, link)

    @admin.display(description="state")
    def state_shown(self, row: CryptoRefund) -> str:
        return row.state

    state_shown.label = STATES  # type: ignore[attr-defined]

    def _do(self, request: HttpRequest, refund: CryptoRefund, change: Any, said: str) -> HttpResponse:
        try:
            with transaction.atomic():
                change()
                self.log_change(request, refund, said)
        except ChainRefused as refused:
            return self.back(request, refund, to_staff(refused), messages.ERROR)
        return self.back(request, refund, said)


def _staff(request: HttpRequest) -> User:
    return cast(User, request.user)
