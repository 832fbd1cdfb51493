"""Admin pages of features and of the paths they are metered at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from billing.admin.base import ModelForm, TabularInline
from billing.admin.history import HistoryAdmin, HistoryForm
from billing.admin.route_views import MOST_SHOWN, tell_what_answers, views_answering
from billing.models import Feature, Route
from billing.models.catalogue import normalised_path


class RouteForm(ModelForm[Route]):
    class Meta:
        help_texts = {
            "path": "Such as /api/v1/trace/start, which covers /api/v1/trace/start/7 as well. A segment may be a"
            " parameter: /api/v1/trace/{id}/expand."
        }

    def clean_path(self) -> str:
        """In the one spelling already here, so that the form sees two rows that are the same."""
        path = str(self.cleaned_data["path"])
        return normalised_path(path) if path.startswith("/") else path


class AnsweredBy:
    """Shows which view answers where a route points."""

    @admin.display(description="answered by", empty_value="no view yet")
    def answered_by(self, row: Route) -> str | None:
        return ", ".join(views_answering(row.path)[:MOST_SHOWN]) if row.path else None


class RouteInline(AnsweredBy, TabularInline[Route, Feature]):
    model = Route
    form = RouteForm
    extra = 0
    fields = ["path", "method", "answered_by"]
    readonly_fields = ["answered_by"]
    verbose_name_plural = "paths metered as this feature"
    hide_title = True


class FeatureForm(HistoryForm):
    SHOWN_ALONG = ("routes",)


@admin.register(Feature)
class FeatureAdmin(HistoryAdmin[Feature]):
    form = FeatureForm
    list_display = ["code", "name", "tokens", "capability", "paths"]
    list_filter = ["capability"]
    list_select_related = ["capability"]
    search_fields = ["code", "name", "routes__path"]
    fieldsets = [(None, {"fields": [("name", "code"), ("tokens", "capability")]})]
    inlines = [RouteInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Feature]:
        return super().get_queryset(request).prefetch_related("routes").annotate(path_count=Count("routes"))

    def get_readonly_fields(self, request: HttpRequest, obj: Feature | None = None) -> list[str]:
        return ["code"] if obj else []

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        super().save_formset(request, form, formset, change)
        for route in [*formset.new_objects, *(row for row, _ in formset.changed_objects)]:
            tell_what_answers(request, route)

    @admin.display(description="metered at", empty_value="nowhere", ordering="path_count")
    def paths(self, row: Feature) -> str | None:
        return ", ".join(f"{route.method} {route.path}".strip() for route in row.routes.all()) or None


class RoutePageForm(RouteForm, HistoryForm):
    """A route by itself; on its feature's page it is of the page's version."""


@admin.register(Route)
class RouteAdmin(AnsweredBy, HistoryAdmin[Route]):
    form = RoutePageForm
    list_display = ["path", "method_shown", "feature"]
    list_filter = ["feature", "method"]
    list_select_related = ["feature"]
    search_fields = ["path", "feature__code"]
    autocomplete_fields = ["feature"]
    fieldsets = [(None, {"fields": [("path", "method"), "feature", "answered_by"]})]
    readonly_fields = ["answered_by"]

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        tell_what_answers(request, obj)

    @admin.display(description="method", ordering="method")
    def method_shown(self, row: Route) -> str:
        return str(row.get_method_display())
