"""Filters of the list of users that look at what they use."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from usage.reports.present import NEAR_PERCENT, near_quota


class QuotaFilter(admin.SimpleListFilter):
    title = "quota"
    parameter_name = "quota"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("near", f"{NEAR_PERCENT} or more is used")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "near":
            return queryset
        return queryset.filter(pk__in=[used.account for used in near_quota(timezone.now())])
