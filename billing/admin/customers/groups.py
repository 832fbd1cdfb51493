"""Admin pages of groups: Django's own, in Unfold's look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.models import Group
from django.db.models import ManyToManyField
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from billing.admin.base import ModelAdmin

if TYPE_CHECKING:
    # One base is enough for the type checker: Unfold changes nothing that it sees.
    class _GroupAdmin(DjangoGroupAdmin): ...
else:

    class _GroupAdmin(DjangoGroupAdmin, ModelAdmin): ...


admin.site.unregister(Group)


class Choices:
    """Many rows are chosen in one field that is searched by typing: two lists side by side are wider than a screen."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None:
            # Given in `kwargs`, Unfold would take away the class by which its script knows it.
            field.widget = UnfoldAdminSelect2MultipleWidget()
            field.widget.choices = field.choices
            field.help_text = db_field.help_text  # without Django's words on the Control key
        return field


@admin.register(Group)
class GroupAdmin(Choices, _GroupAdmin):
    """What a group may do is a superuser's business: whoever can write it gives its members, and himself, any right."""

    filter_horizontal = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser)
