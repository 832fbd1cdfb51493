"""From one day to another, both included, in UTC: a filter of a list by a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Field, Model, QuerySet
from django.http import HttpRequest


class Days(admin.FieldListFilter):
    """Written in `list_filter` as `("issued_at", Days)`. A day that cannot be read filters nothing."""

    template = "admin/billing/lists/days.html"

    def __init__(
        self,
        field: Field[Any, Any],
        request: HttpRequest,
        params: dict[str, Any],
        model: type[Model],
        model_admin: Any,
        field_path: str,
    ) -> None:
        self.first, self.last = f"{field_path}__from", f"{field_path}__to"
        super().__init__(field, request, params, model, model_admin, field_path)
        self.request = request
        self.starts, self.ends = (_day(self.used_parameters.get(name)) for name in (self.first, self.last))

    def expected_parameters(self) -> list[str | None]:
        return [self.first, self.last]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.starts:
            queryset = queryset.filter(**{f"{self.field_path}__gte": _midnight(self.starts)})
        if self.ends:
            queryset = queryset.filter(**{f"{self.field_path}__lt": _midnight(self.ends + timedelta(days=1))})
        return queryset

    def choices(self, changelist: Any) -> Any:
        """One, for the template: the fields as they are, and the other parameters, which go along."""
        others = [(name, value) for name, value in self.request.GET.lists() if name not in (self.first, self.last, "p")]
        yield {
            "selected": bool(self.starts or self.ends),
            "fields": [(self.first, "From", self.starts), (self.last, "To", self.ends)],
            "others": [(name, value) for name, values in others for value in values],
            "query_string": changelist.get_query_string(remove=[self.first, self.last]),
        }


def _day(given: Any) -> date | None:
    try:
        day = date.fromisoformat(given[-1] if isinstance(given, list) else given)
    except (TypeError, ValueError, IndexError):
        return None
    return day if date.min < day < date.max else None


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
