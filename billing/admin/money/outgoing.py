"""Admin pages of money that went out again: what was taken back, and balance that is paid out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.invoicing.documents import amount_of
from billing.admin.lists.filters import Currencies
from billing.admin.lists.ranges import Days
from billing.admin.lists.searching import SHOWN
from billing.invoicing.ledger import lock
from billing.models import Refund, Reversal
from billing.payments import refunds
from billing.payments.unplaced import owing
from billing.users import name_field

MAY_CHANGE = "change_invoices"
STATE_COLOURS = {
    "Requested": "info",
    "Sent to the provider": "info",
    "Unknown: the provider's answer was lost": "warning",
    "Succeeded": "success",
    "Failed": "danger",
}


class Owing(admin.SimpleListFilter):
    title = "owed"
    parameter_name = "owed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "yes: the customer's balance is below 0")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(pk__in=owing().values("pk")) if self.value() == "yes" else queryset


@admin.register(Reversal)
class ReversalAdmin(ReadOnly, ModelAdmin[Reversal]):
    """Written by billing.payments.reversals alone."""

    list_display = ["money_in", "account", "amount_shown", "reason", "reference", "reversed_at"]
    list_display_links = ["money_in"]
    list_select_related = ["money_in__account"]
    sortable_by = ["reversed_at"]
    search_fields = ["money_in__reference"]
    search_help_text = f"Reference of the money. {SHOWN}"
    by_account = "money_in__account"
    currency_path = "money_in__currency"
    summed = ("amount",)
    exported = ("money_in__currency", "amount")
    list_filter = [Owing, ("reversed_at", Days)]
    ordering = ["-reversed_at", "-pk"]
    fieldsets = [
        (
            None,
            {"fields": [("money_in", "reversed_at"), ("amount_shown", "from_balance_shown"), ("reason", "reference")]},
        )
    ]
    readonly_fields = ["amount_shown", "from_balance_shown"]

    @admin.display(ordering=f"money_in__account__{name_field()}")
    def account(self, row: Reversal) -> str:
        return str(row.money_in.account)

    @admin.display(description="amount", ordering="amount")
    def amount_shown(self, row: Reversal) -> str:
        return amount_of(row.amount, row.money_in.currency)

    @admin.display(description="of it off the balance")
    def from_balance_shown(self, row: Reversal) -> str:
        return amount_of(row.from_balance, row.money_in.currency)


@admin.register(Refund)
class RefundAdmin(ReadOnly, ActionPages[Refund]):
    """Written by billing.payments.refunds alone."""

    actions_detail = ["note_paid", "note_failed"]
    list_display = ["account", "amount_shown", "provider", "state_shown", "reference", "reason", "requested_at"]
    list_display_links = ["account"]
    list_select_related = ["account"]
    sortable_by = ["requested_at"]
    search_fields = ["reference"]
    search_help_text = f"Reference. {SHOWN}"
    by_account = "account"
    summed = ("amount",)
    exported = ("currency", "amount", "state")
    list_filter = ["state", Currencies, ("requested_at", Days)]
    ordering = ["-requested_at", "-pk"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    ("account", "amount_shown", "state"),
                    ("provider", "reference", "money_in"),
                    ("reason", "requested_at", "changed_at"),
                ]
            },
        )
    ]
    readonly_fields = ["amount_shown"]

    @admin.display(description="amount", ordering="amount")
    def amount_shown(self, row: Refund) -> str:
        return amount_of(row.amount, row.currency)

    @admin.display(description="state", ordering="state")
    def state_shown(self, row: Refund) -> str:
        return str(row.get_state_display()).capitalize()

    state_shown.label = STATE_COLOURS  # type: ignore[attr-defined]

    def sensible_actions(self, row: Refund) -> set[str]:
        return {"note_paid", "note_failed"} if refunds.FOLLOWS[row.state] else set()

    @confirmed_action(
        "Note as paid out",
        "The provider's own pages say that it has arrived, and this page does not know yet. This cannot be undone.",
        permission=MAY_CHANGE,
        icon="check",
    )
    def note_paid(self, request: HttpRequest, refund: Refund) -> HttpResponse:
        return self._advance(request, refund, Refund.State.SUCCEEDED)

    @confirmed_action(
        "Note as failed",
        "The provider's own pages say that it will not arrive. It becomes balance again, and pays what is due. This "
        "cannot be undone.",
        permission=MAY_CHANGE,
        icon="money_off",
        danger=True,
    )
    def note_failed(self, request: HttpRequest, refund: Refund) -> HttpResponse:
        return self._advance(request, refund, Refund.State.FAILED)

    def _advance(self, request: HttpRequest, refund: Refund, state: Refund.State) -> HttpResponse:
        with transaction.atomic():
            lock(refund.account_id)
            refund.refresh_from_db()
            if state not in refunds.FOLLOWS[refund.state]:
                said = f"It is {refund.get_state_display()} meanwhile; nothing was changed."
                return self.back(request, refund, said, messages.WARNING)
            done = refunds.advance(refund, state, timezone.now())
            self.log_change(request, done, f"Noted: {done.get_state_display()}.")
        return self.back(request, done, f"The refund is {done.get_state_display()}.")
