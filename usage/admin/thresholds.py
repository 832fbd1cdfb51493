"""The admin's page of thresholds that were crossed, and told."""

from __future__ import annotations

from django.contrib import admin
from unfold.paginator import InfinitePaginator

from billing.admin.base import ModelAdmin, ReadOnly
from billing.users import fields_of_names
from usage.models import ThresholdCrossed


@admin.register(ThresholdCrossed)
class ThresholdCrossedAdmin(ReadOnly, ModelAdmin[ThresholdCrossed]):
    list_display = ["crossed_at", "account", "percent", "limit", "tokens", "used", "window_starts_at"]
    list_display_links = ["crossed_at"]
    list_select_related = ["account"]
    list_filter = ["limit"]
    search_fields = fields_of_names("account__")
    search_help_text = "Username or e-mail"
    paginator = InfinitePaginator
    show_full_result_count = False
