"""Admin pages of mails: what was sent to whom, and the local mailbox."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.paginator import InfinitePaginator

from billing.admin.base import ModelAdmin, ReadOnly
from billing.models import MailboxMessage, SentMail
from billing.users import fields_of_names


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("sent", "Sent"), ("waiting", "Waiting"), ("given_up", "Given up")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() == "sent":
            return queryset.filter(sent_at__isnull=False)
        if self.value() == "waiting":
            return queryset.filter(sent_at=None, given_up_at=None)
        return queryset.filter(given_up_at__isnull=False) if self.value() == "given_up" else queryset


@admin.register(SentMail)
class SentMailAdmin(ReadOnly, ModelAdmin[SentMail]):
    """Mails about what happened. What a mail said is not kept: it is made of the message and the templates."""

    list_display = ["first_tried_at", "account", "kind", "state", "sent_at", "tries"]
    list_display_links = ["first_tried_at"]
    list_select_related = ["account"]
    list_filter = [StateFilter]
    search_fields = fields_of_names("account__")
    search_help_text = "Username or e-mail"
    paginator = InfinitePaginator
    show_full_result_count = False
    fields = ["account", "kind", "message_id", "state", "first_tried_at", "tries", "sent_at", "given_up_at", "error"]
    readonly_fields = ["state"]

    def state(self, row: SentMail) -> str:
        if row.sent_at is not None:
            return "sent"
        return "given up" if row.given_up_at is not None else "waiting"

    state.label = {"sent": "success", "given up": "danger", "waiting": "warning"}  # type: ignore[attr-defined]


@admin.register(MailboxMessage)
class MailboxMessageAdmin(ReadOnly, ModelAdmin[MailboxMessage]):
    """Superusers alone read it: whoever reads mails can follow the link of a password reset."""

    list_display = ["received_at", "recipient", "subject"]
    list_display_links = ["received_at", "subject"]
    search_fields = ["recipient", "subject"]
    search_help_text = "Recipient or subject"
    fieldsets = [
        (None, {"fields": ["subject", ("recipient", "sender", "received_at"), "attached"]}),
        ("As HTML", {"fields": ["html_shown"]}),
        ("As text", {"fields": ["text_shown"]}),
        ("Headers", {"fields": ["headers_shown"]}),
    ]
    readonly_fields = ["attached", "html_shown", "text_shown", "headers_shown"]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.display(description="attachments", empty_value="none")
    def attached(self, row: MailboxMessage) -> str | None:
        return ", ".join(row.attachments) or None

    @admin.display(description="HTML", empty_value="This mail has none.")
    def html_shown(self, row: MailboxMessage) -> SafeString | None:
        # Sandboxed: nothing of a mail runs here, or sees the admin.
        frame = '<iframe sandbox="" title="The mail as HTML" srcdoc="{}" class="mail-frame"></iframe>'
        return format_html(frame, row.html) if row.html else None

    @admin.display(description="text")
    def text_shown(self, row: MailboxMessage) -> SafeString:
        return format_html('<pre class="mail-text">{}</pre>', row.text)

    @admin.display(description="headers", empty_value="none")
    def headers_shown(self, row: MailboxMessage) -> SafeString | None:
        return format_html_join("", '<div class="mail-header"><code>{}: {}</code></div>', row.headers.items()) or None
