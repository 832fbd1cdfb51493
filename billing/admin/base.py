"""What our admin pages share: Unfold's look, and what is read-only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import Model, QuerySet, Value
from django.http import HttpRequest

if TYPE_CHECKING:
    # Unfold's classes are Django's with another look, but untyped.
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.forms import ModelForm
else:
    from django import forms
    from unfold import admin as unfold

    from billing.admin.look_ups import LookUps

    class _Subscriptable:
        def __class_getitem__(cls, _model: object) -> type:
            return cls

    class ModelAdmin(_Subscriptable, LookUps, unfold.ModelAdmin):
        """Unfold's, which can be written with its model as django-stubs has it."""

    class TabularInline(_Subscriptable, unfold.TabularInline):
        """The same. It is part of its parent's page: who may look at the one, looks at the other."""

        def has_view_permission(self, request, obj=None):
            return self.admin_site.get_model_admin(self.parent_model).has_view_permission(request)

    class ModelForm(_Subscriptable, forms.ModelForm):
        """Django's, likewise."""


M = TypeVar("M", bound=Model)


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


def unlimited(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"


__all__ = [
    "FencedAdmin",
    "M",
    "ModelAdmin",
    "ModelForm",
    "ReadOnly",
    "TabularInline",
    "linked",
    "unlimited",
]
