"""Filters whose choices are asked of a small table; Django's would read the whole list for them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing.models import Plan, TaxRate


class Currencies(admin.SimpleListFilter):
    """Those of the catalogue's plans, archived ones among them: nothing else is billed in."""

    title = "currency"
    parameter_name = "currency"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in sorted(set(Plan.objects.order_by().values_list("currency", flat=True)))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(currency=self.value()) if self.value() else queryset


class Countries(admin.SimpleListFilter):
    """Those that a rate of tax is kept of."""

    title = "country"
    parameter_name = "country"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in sorted(set(TaxRate.objects.order_by().values_list("country", flat=True)))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(country=self.value()) if self.value() else queryset


class Consumers(admin.SimpleListFilter):
    """Those of the outbox that the settings name."""

    title = "consumer"
    parameter_name = "consumer"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in settings.OUTBOX_CONSUMERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(consumer=self.value()) if self.value() else queryset
