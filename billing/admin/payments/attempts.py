"""Admin pages of tries to charge cards, and of disputes: for reading; what is not known is asked of the provider."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.filters import Currencies
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.models import Dispute, PaymentAttempt
from billing.payments.cards.charging import sweep
from billing.payments.cards.configured import card_gateway

State = PaymentAttempt.State
STATE_COLOURS = {
    State.SUCCEEDED.label: "success",
    State.FAILED.label: "danger",
    State.UNKNOWN.label: "warning",
    State.NEEDS_ACTION.label: "warning",
}
DISPUTE_COLOURS = {
    Dispute.State.OPEN.label: "warning",
    Dispute.State.WON.label: "success",
    Dispute.State.LOST.label: "danger",
}


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnly, ActionPages[PaymentAttempt]):
    """Written by billing.payments.cards.charging alone."""

    list_display = ["created_at", "account", "invoice", "state_shown", "amount_shown", "method", "decline_code"]
    list_display_links = ["created_at"]
    list_filter = ["state", "kind", "cause", Currencies, ("created_at", Days)]
    sortable_by = ["created_at"]
    search_fields = ["reference", "page_reference", "invoice__number"]
    search_help_text = f"Reference or number of the invoice. {SHOWN}"
    by_account = "account"
    summed = ("amount",)
    exported = ("id", "currency", "amount", "reference", "kind", "next_try_at")
    fieldsets = [
        (None, {"fields": [("account", "invoice", "number"), ("state_plain", "cause", "amount_shown")]}),
        ("Provider", {"fields": [("provider", "method"), ("reference", "page_reference"), "id"]}),
        ("Refused", {"fields": [("decline_code", "kind", "next_try_at")]}),
        ("Times", {"fields": [("created_at", "sent_at", "ended_at")]}),
    ]
    readonly_fields = ["state_plain", "amount_shown"]
    actions_detail = ["ask"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentAttempt]:
        return super().get_queryset(request).select_related("account", "invoice", "method")

    def sensible_actions(self, row: PaymentAttempt) -> set[str]:
        return {"ask"} if card_gateway() is not None and (row.is_live or row.reference) else set()

    @admin.display(description="state", ordering="state")
    def state_shown(self, row: PaymentAttempt) -> str:
        return str(row.get_state_display())

    state_shown.label = STATE_COLOURS  # type: ignore[attr-defined]

    @admin.display(description="state")
    def state_plain(self, row: PaymentAttempt) -> str:
        return str(row.get_state_display())

    @admin.display(description="amount")
    def amount_shown(self, row: PaymentAttempt) -> str:
        return amount_of(row.amount, row.currency)

    @confirmed_action(
        "Ask the provider now",
        "What the provider says of this attempt is applied, as the sweep does each minute. An attempt whose answer was "
        "lost is sent again under its key, which the provider executes once.",
        permission="change_invoices",
        icon="sync",
    )
    def ask(self, request: HttpRequest, attempt: PaymentAttempt) -> HttpResponse:
        gateway, before = card_gateway(), attempt.state
        if gateway is None:
            return self.back(request, attempt, "Cards are off: there is nobody to ask.", messages.ERROR)
        after = sweep.ask(gateway, attempt, timezone.now())
        if after.state == before:
            return self.back(request, attempt, f"It is still {after.get_state_display().lower()}.", messages.INFO)
        self.log_change(request, attempt, f"Asked the provider: {after.get_state_display().lower()}.")
        return self.back(request, attempt, f"It is {after.get_state_display().lower()}.")


@admin.register(Dispute)
class DisputeAdmin(ReadOnly, ModelAdmin[Dispute]):
    """Written by billing.payments.cards.disputes alone. They are answered at the provider."""

    list_display = ["opened_at", "account", "state_shown", "amount_shown", "invoice", "reason", "closed_at"]
    list_display_links = ["opened_at"]
    list_filter = ["state", Currencies, ("opened_at", Days)]
    sortable_by = ["opened_at"]
    search_fields = ["reference", "invoice__number"]
    search_help_text = f"Reference or number of the invoice. {SHOWN}"
    by_account = "account"
    summed = ("amount",)
    fieldsets = [
        (None, {"fields": [("account", "invoice", "state_plain"), ("amount_shown", "fee_shown", "reason")]}),
        ("Provider", {"fields": [("provider", "reference", "money_in")]}),
        ("Times", {"fields": [("opened_at", "closed_at")]}),
    ]
    readonly_fields = ["state_plain", "amount_shown", "fee_shown"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dispute]:
        return super().get_queryset(request).select_related("account", "invoice", "money_in")

    @admin.display(description="state", ordering="state")
    def state_shown(self, row: Dispute) -> str:
        return str(row.get_state_display())

    state_shown.label = DISPUTE_COLOURS  # type: ignore[attr-defined]

    @admin.display(description="state")
    def state_plain(self, row: Dispute) -> str:
        return str(row.get_state_display())

    @admin.display(description="amount")
    def amount_shown(self, row: Dispute) -> str:
        return amount_of(row.amount, row.currency)

    @admin.display(description="provider's fee", empty_value="none")
    def fee_shown(self, row: Dispute) -> Any:
        return amount_of(row.fee, row.fee_currency) if row.fee else None
