"""Admin pages of features and of the paths they are metered at, with the views that answer there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import Resolver404, URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern

from billing.admin.base import ModelForm, TabularInline
from billing.admin.history import HistoryAdmin, HistoryForm
from billing.http.access import NOTHING_HERE, access_of
from billing.models import Feature, Route
from billing.models.catalogue.features import normalised_path
from billing.rules.routes import PARAMETER, shape

SAMPLES = ("1", "x", "00000000-0000-4000-8000-000000000000")
"""What may stand for a parameter: a number, a name, an identifier."""
MOST_SHOWN = 3


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

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        routes = [route for feature in objs for route in feature.routes.all()]
        return _with_what_is_free(super().get_deleted_objects(objs, request), routes)

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

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        return _with_what_is_free(super().get_deleted_objects(objs, request), objs)

    def save_model(self, request: HttpRequest, obj: Route, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        tell_what_answers(request, obj)

    @admin.display(description="method", ordering="method")
    def method_shown(self, row: Route) -> str:
        return str(row.get_method_display())


def _with_what_is_free(found: Any, routes: Iterable[Route]) -> Any:
    """What Django says goes, and what that means for callers: a view without a route is metered no more."""
    deleted, *others = found
    means = [f"Calls of {route.path} cost nothing from then on, and need no capability." for route in routes]
    return ([*deleted, *means], *others)


def views_answering(path: str) -> list[str]:
    """The names of the views at the path or below it, as far as the URL patterns tell."""
    found: dict[str, None] = {}
    for sample in SAMPLES:
        for ending in ("", "/"):
            try:
                match = get_resolver().resolve(PARAMETER.sub(sample, path) + ending)
            except Resolver404:
                continue
            _add(found, match.func)
    wanted = shape(path).split("/")[1:]
    for pattern, view in _patterns(get_resolver().url_patterns, ""):
        segments = normalised_path(re.sub(r"<[^>]*>", "{}", pattern)).split("/")[1:]
        if len(segments) >= len(wanted) and all(
            one == other or other == "{}" for one, other in zip(wanted, segments, strict=False)
        ):
            _add(found, view)
    return list(found)


def tell_what_answers(request: HttpRequest, route: Route) -> None:
    """A message about a route that was saved: the view that answers there, or a warning that none does."""
    if views := views_answering(route.path):
        messages.info(request, f"{route} is answered by {', '.join(views[:MOST_SHOWN])}.")
    else:
        messages.warning(request, f"{route}: no view was found there. Nothing is metered at it until one answers.")


def _add(found: dict[str, None], view: Any) -> None:
    if access_of(view) is not NOTHING_HERE:
        named = getattr(view, "cls", None) or getattr(view, "view_class", view)
        found[f"{named.__module__}.{getattr(named, '__qualname__', type(named).__qualname__)}"] = None


def _patterns(entries: list[Any], before: str) -> Iterator[tuple[str, Any]]:
    """The whole route of each view whose patterns are written with path(); regular expressions are left out."""
    for entry in entries:
        if not isinstance(entry.pattern, RoutePattern):
            continue
        route = f"{before}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from _patterns(entry.url_patterns, route)
        elif isinstance(entry, URLPattern):
            yield f"/{route}", entry.callback
