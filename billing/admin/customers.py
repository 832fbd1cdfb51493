"""Admin pages of customers' subscriptions, and of the exceptions made for one account."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Field
from django.http import HttpRequest
from django.utils import timezone

from billing import money
from billing.admin.base import ModelAdmin, ModelForm, ReadOnly, TabularInline, unlimited
from billing.admin.history import HistoryAdmin
from billing.models import BillingPeriod, LimitOverride, Subscription, TokenTopUp


class BillingPeriodInline(ReadOnly, TabularInline[BillingPeriod, Subscription]):
    model = BillingPeriod
    extra = 0
    fields = ["number", "starts_at", "ends_at", "plan", "price_shown"]
    readonly_fields = ["price_shown"]
    ordering = ["-number"]
    hide_title = True
    per_page = 24

    @admin.display(description="price, fixed when the period opened")
    def price_shown(self, row: BillingPeriod) -> str:
        return f"{money.in_currency(row.price, row.currency)} {row.currency}"


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnly, ModelAdmin[Subscription]):
    """Written by billing.lifecycle alone, which keeps plan, periods and schedule in step."""

    list_display = ["account", "plan", "status_shown", "anchor", "scheduled_plan", "scheduled_at", "created_at"]
    list_display_links = ["account"]
    list_filter = ["status", "plan"]
    list_select_related = ["account", "plan", "scheduled_plan"]
    search_fields = ["account__username", "account__email"]
    search_help_text = "Username or e-mail"
    ordering = ["-created_at", "-pk"]
    fieldsets = [
        (None, {"fields": [("account", "plan", "status")]}),
        ("Scheduled change", {"fields": [("scheduled_plan", "scheduled_at")]}),
        ("Time", {"fields": [("anchor", "created_at")]}),
    ]
    inlines = [BillingPeriodInline]

    @admin.display(description="status", ordering="status")
    def status_shown(self, row: Subscription) -> str:
        return str(row.get_status_display())

    status_shown.label = {"Active": "success", "Canceled": "danger"}  # type: ignore[attr-defined]


class ExceptionForm(ModelForm[Any]):
    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and "expires_at" in self.changed_data and expires_at <= timezone.now():
            raise ValidationError("This time has passed. To end an exception now, delete it.")
        return expires_at


class ExceptionAdmin(HistoryAdmin[Any]):
    """An exception from one account's plan; it stays that account's."""

    form = ExceptionForm
    autocomplete_fields = ["account"]
    list_select_related = ["account"]
    search_fields = ["account__username", "account__email", "reason"]
    search_help_text = "Username, e-mail or reason"

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
    list_display = ["account", "tokens_shown", "starts_at", "expires_at", "reason"]
    fieldsets = [(None, {"fields": [("account", "tokens"), ("starts_at", "expires_at"), "reason"]})]

    @admin.display(description="tokens", ordering="tokens")
    def tokens_shown(self, row: TokenTopUp) -> str:
        return f"{row.tokens:,}"
