"""Who changed what, when: the history pages of catalogue rows and of exceptions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.template_utils import HistoricalRecordContextHelper

from billing.admin.base import FencedAdmin, M, ModelForm
from billing.admin.look_ups import existing_key

MEANS_UNLIMITED = {"monthly_token_quota", "requests_per_minute", "maximum"}


class ReadableChanges(HistoricalRecordContextHelper):  # type: ignore[misc]
    """Values as staff know them: blank limits are unlimited, prices have no zeros behind."""

    def prepare_delta_change_value(self, change: Any, value: Any) -> Any:
        value = super().prepare_delta_change_value(change, value)
        if value is None:
            return "unlimited" if change.field in MEANS_UNLIMITED else "none"
        if isinstance(value, Decimal):
            return f"{value.normalize():f}"
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%d %H:%M:%S}"
        return value if value not in ("", []) else "none"


class SeenField(forms.CharField):
    """Travels with the form, and is nothing that somebody has changed."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        return False


class HistoryForm(ModelForm[Any]):
    """Knows which state of its row it was shown with, and is not saved over a later one."""

    SHOWN_ALONG: ClassVar[tuple[str, ...]] = ()
    """Related rows that stand on the same page, and keep a history too."""

    seen = SeenField(required=False)
    """Of a request that no form has sent it is missing: such a one says what the row shall be, whatever it was."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.initial["seen"] = _version(self._records())

    def clean(self) -> dict[str, Any] | None:
        seen = self.data.get(self.add_prefix("seen"))
        if not self.instance._state.adding and seen is not None:
            # Held until the save, so that nobody comes between.
            if not _lock(type(self.instance)._base_manager.filter(pk=self.instance.pk)):
                raise ValidationError("Somebody deleted this row since you opened it. Nothing was saved.")
            for name in self.SHOWN_ALONG:
                _lock(getattr(self.instance, name).all())
            if seen != _version(records := self._records()):
                raise ValidationError(_changed_meanwhile(records))
        return super().clean()

    def _records(self) -> list[Any]:
        """The newest record of the row, and of those shown along, deleted ones among them. None where there is none."""
        histories = [self.instance.history.all()]
        for name in self.SHOWN_ALONG:
            relation = self.instance._meta.get_field(name)
            histories.append(relation.related_model.history.filter(**{relation.field.name: self.instance}))
        return [history.order_by("-history_id").first() for history in histories]


def _lock(rows: QuerySet[Any]) -> bool:
    """Whether there are any."""
    return bool(list(rows.order_by("pk").select_for_update(no_key=True, of=("self",)).values_list("pk")))


def _version(records: list[Any]) -> str:
    return ".".join(str(record.history_id if record else 0) for record in records)


def _changed_meanwhile(records: list[Any]) -> str:
    newest = max(filter(None, records), key=lambda record: record.history_date, default=None)
    who = (newest and newest.history_user) or "a command"
    when = f" at {newest.history_date:%Y-%m-%d %H:%M:%S} UTC" if newest else ""
    return (
        f"This was changed since you opened it, last by {who}{when}. Nothing was saved: "
        "open the page anew, look at what is there now, and make your change on it."
    )


class HistoryAdmin(SimpleHistoryAdmin, FencedAdmin[M]):  # type: ignore[misc]
    """Shows who changed what, when. History is for reading: going back is an edit like any other."""

    form = HistoryForm
    change_form_after_template = "admin/hidden_fields.html"
    object_history_list_template = "admin/history_list.html"

    def revert_disabled(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        # The library's view stands before ours and looks up the history first.
        existing_key(self.model, object_id)
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # The library's view writes the old values back on POST, whoever may only view, and past the fence.
        raise PermissionDenied

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> ReadableChanges:
        return ReadableChanges(self.model, historical_record)
