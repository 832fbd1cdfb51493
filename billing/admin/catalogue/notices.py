"""On a plan's page: at which parts of the quota its subscribers are told."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from billing.admin.base import TabularInline
from billing.models import NoticeThreshold, Plan


class NoticeThresholds(TabularInline[NoticeThreshold, Plan]):
    """Whoever may change the plan may change them."""

    model = NoticeThreshold
    fields = ["percent"]
    extra = 0
    verbose_name = "notice"
    verbose_name_plural = "notices: percentages of the quota at which subscribers are told"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field and db_field.name == "percent":
            field.widget.attrs["aria-label"] = "Percentage of the quota"
        return field

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("billing.change_plan")

    has_change_permission = has_delete_permission = has_add_permission
