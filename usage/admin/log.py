"""Admin pages of the usage log, which is read a page at a time and never counted, however long it grows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.paginator import InfinitePaginator

from billing.admin.base import ModelAdmin, ReadOnly
from billing.admin.lists.changelist import Rows
from billing.admin.lists.ranges import Days
from billing.models import Feature
from billing.rules.periods import month_window
from billing.users import User, name_field
from usage.log import events
from usage.models import UsageLog

PAGE = 50
LAST_PAGE = 1000
"""Older entries are found by the filters: PostgreSQL reads a page by reading all pages before it."""
MONTHS_OFFERED = 13
ACCOUNTS_FOUND = 50


class LogPaginator(InfinitePaginator):
    """Offers pages up to LAST_PAGE, since counting would read the whole log."""

    count = PAGE * LAST_PAGE


class LogChangeList(Rows):
    def get_ordering(self, request: HttpRequest, queryset: QuerySet[UsageLog]) -> Any:
        """Newest first and nothing else: any other order would sort the whole log."""
        return ["-id"]


class WhenFilter(admin.SimpleListFilter):
    """By default the past week, unless something is searched for; months are the log's partitions."""

    title = "time of the call"
    parameter_name = "when"
    PAST = {"hour": timedelta(hours=1), "day": timedelta(days=1), "": timedelta(days=7)}
    ANY = "any"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        months = []
        at = month_window(timezone.now()).start
        for _ in range(MONTHS_OFFERED):
            months.append((f"{at:%Y-%m}", f"{at:%B %Y}"))
            at = month_window(at - timedelta(days=1)).start
        return [("hour", "Past hour"), ("day", "Past 24 hours"), *months, (self.ANY, "Any time")]

    def choices(self, changelist: Any) -> Any:
        choices = super().choices(changelist)
        yield {**next(choices), "display": "Any time" if changelist.query else "Past 7 days"}
        yield from choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageLog]) -> QuerySet[UsageLog]:
        chosen = self.value() or ""
        is_asked = request.GET.get("q", "").strip() or any(
            request.GET.get(f"charged_at__{end}") for end in ("from", "to")
        )
        if chosen == self.ANY or (not chosen and is_asked):
            return queryset
        if chosen in self.PAST:
            return queryset.filter(charged_at__gte=timezone.now() - self.PAST[chosen])
        try:
            month = month_window(datetime.strptime(chosen, "%Y-%m").replace(tzinfo=UTC))
        except ValueError:
            return queryset.none()
        return queryset.filter(charged_at__gte=month.start, charged_at__lt=month.end)


COLOURS = {
    events.CHARGE: "info",
    events.VOID: "warning",
    events.SETTLE: "success",
    events.RESET: "success",
    events.REFUSED: "danger",
}
"""Of a row's kind."""


class SourceFilter(admin.SimpleListFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            (events.GATEWAY, "Gateway: a metered endpoint"),
            (events.TRACK, "Track: /usage/track"),
            (events.AUTHORIZE, "Authorize: /usage/authorize, asked by a proxy"),
            (events.RESERVE, "Reserve: /usage/reservations"),
            (events.EVENTS, "Events: /usage/events"),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageLog]) -> QuerySet[UsageLog]:
        return queryset.filter(source=self.value()) if self.value() else queryset


class FeatureFilter(admin.SimpleListFilter):
    """Offers the catalogue's features; reading them from the log would read all of it."""

    title = "feature"
    parameter_name = "feature"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, code) for code in Feature.objects.values_list("code", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageLog]) -> QuerySet[UsageLog]:
        return queryset.filter(feature=self.value()) if self.value() else queryset


@admin.register(UsageLog)
class UsageLogAdmin(ReadOnly, ModelAdmin[UsageLog]):
    list_display = ["called_at", "account", "feature", "tokens", "kind_shown", "source", "key_prefix", "event_id"]
    list_filter = ["kind", SourceFilter, FeatureFilter, WhenFilter, ("charged_at", Days)]
    list_per_page = PAGE
    summed = ("tokens",)
    currency_path = ""
    list_fullwidth = True
    paginator = LogPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    search_fields = ["event_id"]
    search_help_text = "Username or event id"
    fieldsets = [
        (None, {"fields": [("account", "feature", "tokens"), ("kind", "source", "key_prefix")]}),
        ("Event", {"fields": [("event_id", "id"), "metadata"]}),
        ("Time", {"fields": [("charged_at", "created_at", "window_starts_at")]}),
    ]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[LogChangeList]:
        return LogChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[UsageLog]:
        # Fetched beside the page and not joined: the log outlives its users.
        return super().get_queryset(request).prefetch_related("account")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageLog], search_term: str
    ) -> tuple[QuerySet[UsageLog], bool]:
        """By what has an index: an event with what was done to it, or the accounts of a username."""
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            event = uuid.UUID(term)
        except ValueError:
            return queryset.filter(account__in=_accounts(term)), False
        return queryset.filter(id__in=[event, events.adjustment_of(event)]), False

    @admin.display(description="time of the call (UTC)")
    def called_at(self, row: UsageLog) -> str:
        return f"{row.charged_at:%Y-%m-%d %H:%M:%S}"

    @admin.display(description="kind")
    def kind_shown(self, row: UsageLog) -> str:
        return row.kind

    kind_shown.label = COLOURS  # type: ignore[attr-defined]


def _accounts(username: str) -> list[int]:
    """The account of that username, or else up to ACCOUNTS_FOUND whose usernames begin so."""
    exact = list(User.objects.filter(**{name_field(): username}).values_list("pk", flat=True))
    begun = User.objects.filter(**{f"{name_field()}__istartswith": username}).order_by(name_field())
    return exact or list(begun.values_list("pk", flat=True)[:ACCOUNTS_FOUND])
