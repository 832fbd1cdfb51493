"""On a plan's page and on a key's: what one API key, and each run that calls with it, may use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from billing.admin.base import TabularInline
from billing.models import ApiKey, Budget, Plan
from billing.rules.budgets import Budgets


class _Budgets(TabularInline[Budget, Any]):
    model = Budget
    fields = Budgets._fields
    extra = 1
    verbose_name = "budget"

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field:
            field.widget.attrs["aria-label"] = str(db_field.verbose_name).capitalize()
        return field


class BudgetsOfEachKey(_Budgets):
    """Whoever may change the plan may change them."""

    fk_name = "plan"
    verbose_name_plural = "budgets of each API key of a subscriber"

    def has_add_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return request.user.has_perm("billing.change_plan")

    has_change_permission = has_delete_permission = has_add_permission


class BudgetsOfKey(_Budgets):
    """Whoever may change the key may change them."""

    fk_name = "key"
    verbose_name_plural = "budgets; where the plan has some for each key, the smaller hold"

    def has_add_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.has_perm("billing.change_apikey")

    has_change_permission = has_delete_permission = has_add_permission
