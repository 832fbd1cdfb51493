"""What staff's browsers send as the key of a row, and is none: no row, the form again, or 400."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import BaseModelAdmin
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import ForeignKey, Model
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse


def can_be_key(model: type[Model], text: str) -> bool:
    """Whether the text is of the type of the model's key; Django's look-ups raise ValueError for others."""
    try:
        model._meta.pk.to_python(text)
    except ValidationError:
        return False
    return "\0" not in text


def existing_key(model: type[Model], quoted: str) -> None:
    """Raises Http404 unless the end of an address can be a key of the model."""
    if not can_be_key(model, unquote(quoted)):
        raise Http404(f"There is no such {model._meta.verbose_name}.")


class Autocomplete(AutocompleteSelect):
    """Django's, which looks up whatever was sent in order to draw it again."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        model = self.field.related_model
        return super().optgroups(name, [each for each in value if can_be_key(model, str(each))], attrs)


class LookUps(BaseModelAdmin):  # type: ignore[type-arg]
    """For the admin of any model."""

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs.setdefault("widget", Autocomplete(db_field, self.admin_site, using=kwargs.get("using")))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        if not all(can_be_key(self.model, chosen) for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("A row was chosen that cannot be.")
        response: HttpResponse | None = super().response_action(request, queryset)  # type: ignore[misc]
        return response

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        existing_key(self.model, object_id)
        response: HttpResponse = super().history_view(request, object_id, extra_context)  # type: ignore[misc]
        return response
