"""Admin pages of exceptions made for one account: other limits, and tokens on top."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field
from django.http import HttpRequest
from django.utils import timezone

from billing.admin.base import unlimited
from billing.admin.history import HistoryAdmin, HistoryForm
from billing.admin.lists.searching import SHOWN
from billing.admin.of_account import OfAccount
from billing.models import LimitOverride, TokenTopUp
from billing.users import fields_of_names


class ExceptionForm(HistoryForm):
    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and "expires_at" in self.changed_data and expires_at <= timezone.now():
            raise ValidationError("This time has passed. To end an exception now, delete it.")
        return expires_at


class ExceptionAdmin(OfAccount[Any], HistoryAdmin[Any]):
    """An exception from one account's plan; it stays that account's."""

    form = ExceptionForm
    autocomplete_fields = ["account"]
    list_select_related = ["account"]
    search_fields = fields_of_names("account__")
    search_help_text = SHOWN
    by_account = "account"

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> list[str]:
        return ["account"] if obj else []


@admin.register(LimitOverride)
class LimitOverrideAdmin(ExceptionAdmin):
    list_display = ["account", "limit_shown", "maximum_shown", "in_force", "expires_at", "reason", "created_at"]
    list_filter = ["limit"]
    fieldsets = [(None, {"fields": ["account", ("limit", "maximum"), "expires_at", "reason"]})]

    def formfield_for_dbfield(self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "maximum":
            field.widget.attrs["placeholder"] = "unlimited"
        return field

    @admin.display(description="limit", ordering="limit")
    def limit_shown(self, row: LimitOverride) -> str:
        return str(row.get_limit_display())

    @admin.display(description="maximum", ordering="maximum")
    def maximum_shown(self, row: LimitOverride) -> str:
        return unlimited(row.maximum)

    @admin.display(description="not expired", boolean=True)
    def in_force(self, row: LimitOverride) -> bool:
        return row.expires_at is None or timezone.now() < row.expires_at


@admin.register(TokenTopUp)
class TokenTopUpAdmin(ExceptionAdmin):
    list_display = ["account", "tokens_shown", "starts_at", "expires_at", "spent", "reason"]
    fieldsets = [(None, {"fields": [("account", "tokens"), ("starts_at", "expires_at"), "spent", "reason"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: TokenTopUp | None = None) -> list[str]:
        return [*super().get_readonly_fields(request, obj), "spent"]

    @admin.display(description="tokens", ordering="tokens")
    def tokens_shown(self, row: TokenTopUp) -> str:
        return f"{row.tokens:,}"
