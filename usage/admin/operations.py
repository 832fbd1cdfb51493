"""Admin pages of what went wrong: entries that no drain could read, and outages of Redis."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from billing.admin.base import ModelAdmin, ReadOnly
from ratelimit.servers.single import RedisUnreachable
from usage.models import RedisOutage, SetAsideEntry
from usage.reconciliation import set_aside


@admin.register(SetAsideEntry)
class SetAsideEntryAdmin(ReadOnly, ModelAdmin[SetAsideEntry]):
    """Staff look at entries, try them again or delete them, each with its permission; the admin's log keeps who did."""

    list_display = ["set_aside_at", "shard", "stream_id", "error"]
    list_filter = ["shard"]
    search_fields = ["stream_id", "error"]
    ordering = ["-set_aside_at", "-pk"]
    fieldsets = [(None, {"fields": [("shard", "stream_id", "set_aside_at"), "error", "payload_shown"]})]
    readonly_fields = ["payload_shown"]
    actions = ["retry"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(request.user.has_perm("usage.delete_setasideentry"))

    # A method instead of the permission's name: that one Unfold looks up in the database whenever Django checks itself.
    def has_retry_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("usage.change_setasideentry"))

    @admin.action(description="Try again: count those that can be read now", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[SetAsideEntry]) -> None:
        chosen = list(queryset.order_by())
        try:
            done = set_aside.retry(queryset, timezone.now())
        except RedisUnreachable:
            text = "Redis is out of reach. Those that are still here were not counted; try again later."
            messages.error(request, text)
            return
        finally:
            left = set(SetAsideEntry.objects.filter(pk__in=[entry.pk for entry in chosen]).values_list("pk", flat=True))
            for entry in chosen:
                if entry.pk not in left:
                    self.log_change(request, entry, "Counted.")
        messages.add_message(request, messages.WARNING if done.left else messages.SUCCESS, f"{done}.")

    @admin.display(description="payload")
    def payload_shown(self, row: SetAsideEntry) -> str:
        return bytes(row.payload).decode(errors="backslashreplace")


@admin.register(RedisOutage)
class RedisOutageAdmin(ReadOnly, ModelAdmin[RedisOutage]):
    """The times in which calls were decided by PostgreSQL instead of Redis."""

    list_display = ["began_at", "ended_at", "lasted"]
    ordering = ["-began_at"]
    fields = ["began_at", "ended_at", "lasted"]
    readonly_fields = ["lasted"]

    @admin.display(description="lasted")
    def lasted(self, row: RedisOutage) -> str:
        if row.ended_at is None:
            return "goes on"
        return f"{(row.ended_at - row.began_at).total_seconds():,.1f} s"
