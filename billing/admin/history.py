"""Who changed what, when: the history pages of catalogue rows and of exceptions."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from simple_history.template_utils import HistoricalRecordContextHelper

from billing.admin.base import FencedAdmin, M

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


class HistoryAdmin(SimpleHistoryAdmin, FencedAdmin[M]):  # type: ignore[misc]
    """Shows who changed what, when. History is for reading: going back is an edit like any other."""

    object_history_list_template = "admin/history_list.html"

    def revert_disabled(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True

    def history_form_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # The library's view writes the old values back on POST, whoever may only view, and past the fence.
        raise PermissionDenied

    def get_historical_record_context_helper(self, request: HttpRequest, historical_record: Any) -> ReadableChanges:
        return ReadableChanges(self.model, historical_record)
