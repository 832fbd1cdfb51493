"""On a plan's page and on a key's: what one API key, and each run that calls with it, may use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from billing.admin.base import StackedInline
from billing.models import ApiKey, Budget, Plan
from billing.rules.tokens.budgets import Budgets


class _Budgets(StackedInline[Budget, Any]):
    """One row at most."""

    model = Budget
    fieldsets = [(None, {"fields": [Budgets._fields[:3], Budgets._fields[3:5], Budgets._fields[5:]]})]
    extra = 1


class BudgetsOfEachKey(_Budgets):
    """Whoever may change the plan may change them."""

    fk_name = "plan"
    verbose_name = "budget of each API key of a subscriber"

    def has_add_permission(self, request: HttpRequest, obj: Plan | None = None) -> bool:
        return request.user.has_perm("billing.change_plan")

    has_change_permission = has_delete_permission = has_add_permission


class BudgetsOfKey(_Budgets):
    """Whoever may change the key may change them."""

    fk_name = "key"
    verbose_name = "budget; where the plan has one for each key, the smaller of each holds"

    def has_add_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.has_perm("billing.change_apikey")

    has_change_permission = has_delete_permission = has_add_permission
