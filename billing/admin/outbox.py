"""Admin pages of the outbox: what happened, and which consumer waits where. Read, and a message tried or skipped."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.paginator import InfinitePaginator

from billing.admin.action_pages import ActionPages, confirmed_action
from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.lists.filters import Consumers
from billing.admin.lists.searching import SHOWN
from billing.models import OutboxCursor, OutboxMessage
from billing.users import fields_of_names

MOVED = "The message was delivered or skipped since you looked; nothing was changed."


@admin.register(OutboxMessage)
class OutboxMessageAdmin(ReadOnly, ModelAdmin[OutboxMessage]):
    """Kept as it was written, until OUTBOX_KEPT_DAYS have passed."""

    list_display = ["recorded_at", "account", "kind", "actor", "payload"]
    search_fields = fields_of_names("account__")
    search_help_text = SHOWN
    by_account = "account"
    ordering = ["-pk"]
    paginator = InfinitePaginator
    show_full_result_count = False
    fields = ["account", "kind", "actor", "payload", "recorded_at", "position"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxMessage]:
        # Fetched beside the page and not joined: messages may outlive their users.
        return super().get_queryset(request).prefetch_related("account")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[OutboxMessage], search_term: str
    ) -> tuple[QuerySet[OutboxMessage], bool]:
        """Those that have their position, as all have after a second: the index holds these."""
        rows, duplicates = super().get_search_results(request, queryset, search_term)
        return (rows.filter(position__isnull=False) if search_term.strip() else rows), duplicates


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failing", "Failing"), ("waiting", "Waiting")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxCursor]) -> QuerySet[OutboxCursor]:
        rows = OutboxCursor.objects.all()
        chosen = {"failing": rows.failing, "waiting": rows.waiting}.get(self.value() or "")
        return queryset.filter(pk__in=chosen().values("pk")) if chosen else queryset


@admin.register(OutboxCursor)
class OutboxCursorAdmin(ReadOnly, ActionPages[OutboxCursor]):
    """How far each consumer has come with each account; a message that fails holds up that account's later ones."""

    list_display = ["consumer", "account", "state", "attempts", "error", "due_at"]
    list_filter = [StateFilter, Consumers]
    search_fields = fields_of_names("account__")
    search_help_text = SHOWN
    by_account = "account"
    ordering = ["-attempts", "due_at"]
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": [("consumer", "account", "state"), "next_message", "messages_waiting"]}),
        ("Tries", {"fields": [("attempts", "due_at"), "error_shown"]}),
    ]
    readonly_fields = ["state", "next_message", "messages_waiting", "error_shown"]
    actions_detail = ["retry", "skip"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxCursor]:
        return super().get_queryset(request).prefetch_related("account")

    def has_deciding_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.change_outboxcursor")

    def sensible_actions(self, row: OutboxCursor) -> set[str]:
        return {"retry", "skip"} if row.is_failing else set()

    def state(self, row: OutboxCursor) -> str:
        if row.delivered >= row.latest:
            return "all delivered"
        return "failing" if row.is_failing else "waiting"

    state.label = {"failing": "danger", "waiting": "warning", "all delivered": "success"}  # type: ignore[attr-defined]

    @admin.display(description="next message")
    def next_message(self, row: OutboxCursor) -> str:
        message = row.waiting.first()
        return f"{message.kind} ({message.pk}) of {message.recorded_at:%Y-%m-%d %H:%M:%S}" if message else "none"

    @admin.display(description="messages waiting")
    def messages_waiting(self, row: OutboxCursor) -> str:
        return f"{row.waiting.count():,}"

    @admin.display(description="error")
    def error_shown(self, row: OutboxCursor) -> str:
        if row.error or not row.is_failing:
            return row.error or "none"
        return "The consumer gave no answer: it hangs, or its process ended in the call."

    @confirmed_action(
        "Try again now", "The message is delivered without waiting any longer.", permission="deciding", icon="replay"
    )
    def retry(self, request: HttpRequest, cursor: OutboxCursor) -> HttpResponse:
        if not cursor.is_failing or not cursor.retry(timezone.now()):
            return self.back(request, cursor, MOVED, messages.WARNING)
        self.log_change(request, cursor, "Tried again.")
        return self.back(request, cursor, "The message is tried again within a second.")

    @confirmed_action(
        "Skip this message",
        "This consumer never gets it, and the account's later messages go on. It cannot be undone.",
        permission="deciding",
        icon="skip_next",
        danger=True,
        seen="delivered",  # so that no later message is skipped in place of the one that staff were asked about
    )
    def skip(self, request: HttpRequest, cursor: OutboxCursor) -> HttpResponse:
        skipped = None
        if cursor.is_failing and request.POST.get("delivered") == str(cursor.delivered):
            with transaction.atomic():
                skipped = cursor.skip(timezone.now())
                if skipped is not None:
                    self.log_change(request, cursor, f"Skipped message {skipped.pk}, {skipped.kind}.")
        if skipped is None:
            return self.back(request, cursor, MOVED, messages.WARNING)
        return self.back(request, cursor, f"Message {skipped.pk} is skipped.")
