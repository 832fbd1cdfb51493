"""What our admin pages share: Unfold's look, what is read-only, and changes of state that ask first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from unfold.decorators import action
from unfold.enums import ActionVariant

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
F = TypeVar("F", bound=Callable[..., HttpResponse])


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


def confirmed_action(
    label: str, question: str, *, permission: str, icon: str, danger: bool = False, form_class: type | None = None
) -> Callable[[F], F]:
    """A button that asks `question` in a dialog and acts on its POST, never on a GET.

    `permission` names a has_<permission>_permission method; the decorated method gets (request, form, object_id).
    """
    decorate = action(
        description=label,
        icon=icon,
        permissions=[permission],
        variant=ActionVariant.DANGER if danger else ActionVariant.DEFAULT,
        dialog={"title": f"{label}?", "description": question, "form_submit_text": label, "form_class": form_class},
    )
    return cast(Callable[[F], F], decorate)


def leave_dialog(request: HttpRequest, url: str) -> HttpResponse:
    """Go to a page after a dialog, which htmx has posted where there is JavaScript."""
    if "HX-Request" in request.headers:
        return HttpResponse(headers={"HX-Redirect": url})
    return HttpResponseRedirect(url)


def unlimited(number: int | None) -> str:
    return "unlimited" if number is None else f"{number:,}"


__all__ = [
    "FencedAdmin",
    "M",
    "ModelAdmin",
    "ModelForm",
    "ReadOnly",
    "TabularInline",
    "confirmed_action",
    "leave_dialog",
    "unlimited",
]
