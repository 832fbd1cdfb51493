"""What our admin pages share: Unfold's look, and what is read-only."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db.models import Model, QuerySet, Value
from django.http import HttpRequest

if TYPE_CHECKING:
    # Unfold's classes are Django's with another look, but untyped.
    from django.contrib.admin import ModelAdmin, StackedInline, TabularInline
    from django.forms import ModelForm
else:
    from django import forms
    from unfold import admin as unfold

    from billing.admin.lists.listing import Listing
    from billing.admin.look_ups import LookUps

    class _Subscriptable:
        def __class_getitem__(cls, _model: object) -> type:
            return cls

    class ModelAdmin(_Subscriptable, LookUps, Listing, unfold.ModelAdmin):
        """Unfold's, which can be written with its model as django-stubs has it."""

    class _OfItsParent:
        """Part of its parent's page: who may look at the one, looks at the other."""

        def has_view_permission(self, request, obj=None):
            return self.admin_site.get_model_admin(self.parent_model).has_view_permission(request)

    class TabularInline(_OfItsParent, _Subscriptable, unfold.TabularInline):
        """The same."""

    class StackedInline(_OfItsParent, _Subscriptable, unfold.StackedInline):
        """The same."""

    class ModelForm(_Subscriptable, forms.ModelForm):
        """Django's, likewise."""


M = TypeVar("M", bound=Model)
T = TypeVar("T")
D = TypeVar("D", bound=Callable[..., Any])


class FencedAdmin(ModelAdmin[M]):
    """For rows that decisions rest on: each is saved and deleted by itself, so that its fence is pushed at once."""

    compressed_fields = False
    warn_unsaved_form = True
    list_filter_sheet = False

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[M]) -> None:
        for row in queryset:
            row.delete()


class ReadOnly:
    """Looked at here, written elsewhere."""

    compressed_fields = False
    list_filter_sheet = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def linked(rows: Any, request: HttpRequest, permission: str) -> Any:
    """The rows with `is_linked`: whether a number of theirs leads to its list, which the permission opens."""
    return rows.annotate(is_linked=Value(request.user.has_perm(permission)))


def once(row: Model, name: str, find: Callable[[], T]) -> T:
    """What `find` gives for the row, asked once: a page that is drawn reads each of its fields several times.

    For pages that are looked at; who changes a row asks anew.
    """
    known: dict[str, Any] = row.__dict__.setdefault("_found_once", {})
    if name not in known:
        known[name] = find()
    return known[name]  # type: ignore[no-any-return]


def shown_once(display: D) -> D:
    """For a field that asks the database: Unfold reads each a few times while it draws the page."""

    @wraps(display)
    def shown(self: Any, row: Model) -> Any:
        return once(row, display.__name__, lambda: display(self, row))

    return cast(D, shown)


def unlimited(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"


__all__ = [
    "FencedAdmin",
    "M",
    "ModelAdmin",
    "ModelForm",
    "ReadOnly",
    "StackedInline",
    "TabularInline",
    "linked",
    "once",
    "shown_once",
    "unlimited",
]
