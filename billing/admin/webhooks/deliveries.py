"""Admin pages of webhooks' deliveries: what was sent, what came back, and sending again, one or many."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.paginator import InfinitePaginator

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ReadOnly
from billing.admin.lists.searching import SHOWN
from billing.api.sentences import to_staff
from billing.models import WebhookDelivery
from billing.rules.refused import Refused
from billing.users import fields_of_names
from billing.webhooks import endpoints


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(state.value), str(state.label)) for state in WebhookDelivery.State]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        known = self.value() in WebhookDelivery.State.values
        return queryset.filter(state=self.value()) if known else queryset


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(ReadOnly, ActionPages[WebhookDelivery]):
    """One message to one endpoint; kept for WEBHOOKS_KEPT_DAYS."""

    list_display = ["created_at", "endpoint", "type", "shown_state", "attempts", "came_of_it", "next_try_at"]
    list_display_links = ["created_at"]
    list_select_related = ["endpoint", "message"]
    list_filter = [StateFilter]
    search_fields = [*fields_of_names("endpoint__account__"), "message_id"]
    search_help_text = f"Message's id. {SHOWN}"
    by_account = "endpoint__account"
    ordering = ["-pk"]
    paginator = InfinitePaginator
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": [("endpoint", "type", "shown_state"), ("message_id", "created_at", "ended_at")]}),
        ("Tries", {"fields": [("attempts", "next_try_at", "came_of_it"), "tries_shown", "answer_shown"]}),
        ("Body", {"fields": ["body_shown"]}),
    ]
    readonly_fields = ["type", "message_id", "shown_state", "came_of_it", "tries_shown", "answer_shown", "body_shown"]
    actions = ["send_chosen_again"]
    actions_detail = ["send_again"]

    def has_sending_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("billing.change_webhookdelivery"))

    def sensible_actions(self, row: WebhookDelivery) -> set[str]:
        return {"send_again"} if not row.is_pending and row.endpoint.is_enabled else set()

    @admin.display(description="type")
    def type(self, row: WebhookDelivery) -> str:
        return row.message.type

    @admin.display(description="message")
    def message_id(self, row: WebhookDelivery) -> str:
        return row.message_id

    @admin.display(description="state")
    def shown_state(self, row: WebhookDelivery) -> str:
        return row.state

    shown_state.label = {"delivered": "success", "pending": "warning", "dead": "danger"}  # type: ignore[attr-defined]

    @admin.display(description="last answer")
    def came_of_it(self, row: WebhookDelivery) -> str:
        return row.error or (str(row.status) if row.status else "none yet")

    @admin.display(description="tries", empty_value="none yet")
    def tries_shown(self, row: WebhookDelivery) -> SafeString | None:
        lines = [(one["at"], one["status"] or one["error"], one["milliseconds"]) for one in row.tries]
        return format_html_join("", '<div class="mail-header"><code>{}: {}, {} ms</code></div>', lines) or None

    @admin.display(description="answer", empty_value="none")
    def answer_shown(self, row: WebhookDelivery) -> SafeString | None:
        return format_html('<pre class="mail-text">{}</pre>', row.answer) if row.answer else None

    @admin.display(description="body")
    def body_shown(self, row: WebhookDelivery) -> SafeString:
        return format_html('<pre class="mail-text">{}</pre>', row.message.body)

    @confirmed_action(
        "Send again",
        "The message is sent again, with the same id and body. Its tries begin anew.",
        permission="sending",
        icon="replay",
    )
    def send_again(self, request: HttpRequest, row: WebhookDelivery) -> HttpResponse:
        try:
            with transaction.atomic():
                endpoints.send_again(row.endpoint.account_id, row.endpoint_id, row.pk, timezone.now())
                self.log_change(request, row, "Sent again.")
        except Refused as refused:
            return self.back(request, row, to_staff(refused), messages.WARNING)
        return self.back(request, row, "The message is being sent again.")

    @admin.action(description="Send those again that are not being tried", permissions=["sending"])
    def send_chosen_again(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        sent = left = 0
        for row in queryset.select_related("endpoint"):
            try:
                with transaction.atomic():
                    endpoints.send_again(row.endpoint.account_id, row.endpoint_id, row.pk, timezone.now())
                    self.log_change(request, row, "Sent again.")
                sent += 1
            except Refused:
                left += 1
        if sent:
            messages.success(request, f"{sent} are being sent again.")
        if left:
            messages.warning(request, f"{left} are left: they are being tried, or their endpoint is disabled.")
