"""Admin pages of cards: what is saved, and what the provider told."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.paginator import InfinitePaginator

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ReadOnly, shown_once
from billing.admin.lists.searching import SHOWN
from billing.models import PaymentMethod, ProviderCustomer, ProviderEvent
from billing.payments.cards import events, methods
from billing.users import fields_of_names

State = ProviderEvent.State


@admin.register(PaymentMethod)
class PaymentMethodAdmin(ReadOnly, ActionPages[PaymentMethod]):
    """Customers save cards themselves, on the provider's page; their numbers are kept there alone."""

    list_display = ["account", "card", "is_default", "state_shown", "expires", "created_at"]
    list_display_links = ["card"]
    list_select_related = ["account"]
    list_filter = ["state", "is_default", "is_live"]
    search_fields = [*fields_of_names("account__"), "reference"]
    search_help_text = f"{SHOWN}, or the provider's reference"
    by_account = "account"
    ordering = ["-pk"]
    show_full_result_count = False
    fields = [
        ("account", "card", "expires"),
        ("state_shown", "is_default", "is_live"),
        ("provider", "reference", "customer"),
        ("created_at", "detached_at", "provider_told_at"),
    ]
    readonly_fields = ["card", "expires", "state_shown", "customer"]
    actions_detail = ["remove"]

    def has_removing_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.delete_paymentmethod")

    def sensible_actions(self, row: PaymentMethod) -> set[str]:
        return set() if row.state == PaymentMethod.State.DETACHED else {"remove"}

    def card(self, row: PaymentMethod) -> str:
        return str(row)

    def expires(self, row: PaymentMethod) -> str:
        return f"{row.exp_month:02}/{row.exp_year}"

    @admin.display(description="state")
    def state_shown(self, row: PaymentMethod) -> str:
        if row.state == PaymentMethod.State.USABLE and row.has_expired(timezone.now()):
            return "expired"
        return str(row.get_state_display()).lower()

    state_shown.label = {  # type: ignore[attr-defined]
        "usable": "success",
        "needs action": "warning",
        "expired": "warning",
        "detached": "info",
    }

    @admin.display(description="customer there")
    @shown_once
    def customer(self, row: PaymentMethod) -> str:
        known = ProviderCustomer.objects.filter(account=row.account_id, provider=row.provider, is_live=row.is_live)
        return ", ".join(known.values_list("reference", flat=True)) or "none"

    @confirmed_action(
        "Remove the card",
        "It is not charged any more, and the provider forgets it. Only the customer can save it again.",
        permission="removing",
        icon="credit_card_off",
        danger=True,
    )
    def remove(self, request: HttpRequest, card: PaymentMethod) -> HttpResponse:
        try:
            methods.remove(card.account_id, card.pk, timezone.now())
        except PaymentMethod.DoesNotExist:
            return self.back(request, card, "It was removed since you looked, or cards are off.", messages.WARNING)
        self.log_change(request, card, "Removed.")
        return self.back(request, card, "The card is removed.")


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnly, ActionPages[ProviderEvent]):
    """Each is only the reason to look: its object is fetched from the provider, and what it is now is applied."""

    list_display = ["received_at", "type", "object_reference", "state_shown", "tries", "error"]
    list_display_links = ["received_at", "type"]
    list_filter = ["state"]
    search_fields = ["reference", "object_reference"]
    search_help_text = "The provider's reference of the event, or of its object"
    ordering = ["-pk"]
    paginator = InfinitePaginator
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": [("provider", "type", "is_live"), ("reference", "object_type", "object_reference")]}),
        ("State", {"fields": [("state_shown", "tries", "next_try_at"), "error_shown"]}),
        ("When", {"fields": [("created_at", "received_at", "processed_at")]}),
        ("What it said", {"fields": ["payload"], "classes": ["collapse"]}),
    ]
    readonly_fields = ["state_shown", "error_shown"]
    actions_detail = ["process_again"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderEvent]:
        rows = super().get_queryset(request)
        is_a_list = request.resolver_match is not None and str(request.resolver_match.url_name).endswith("changelist")
        return rows.defer("payload") if is_a_list else rows

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ProviderEvent], search_term: str
    ) -> tuple[QuerySet[ProviderEvent], bool]:
        """By a whole reference, as an index has it."""
        term = search_term.strip()
        return (queryset.filter(Q(reference=term) | Q(object_reference=term)) if term else queryset), False

    def has_deciding_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_providerevent")

    def sensible_actions(self, row: ProviderEvent) -> set[str]:
        return set() if row.state == State.DONE else {"process_again"}

    @admin.display(description="state")
    def state_shown(self, row: ProviderEvent) -> str:
        return str(row.state)

    state_shown.label = {"received": "warning", "done": "success", "failed": "danger"}  # type: ignore[attr-defined]

    @admin.display(description="error")
    def error_shown(self, row: ProviderEvent) -> str:
        return row.error or "none"

    @confirmed_action(
        "Process again",
        "Its object is fetched from the provider once more, and what it is now is applied. It does no harm.",
        permission="deciding",
        icon="replay",
    )
    def process_again(self, request: HttpRequest, event: ProviderEvent) -> HttpResponse:
        if not events.process_again(event):
            return self.back(request, event, "It was processed since you looked.", messages.WARNING)
        self.log_change(request, event, "Processed again.")
        return self.back(request, event, "It is processed within half a minute.")
