"""Budgets in the admin: on a key's page and on a plan's, by whoever may change that."""

from __future__ import annotations

from typing import Any

import pytest

from billing.entitlements import callers
from billing.models import ApiKey, Budget, Plan
from tests.billing.forms import edit_plan
from tests.cast import Customer, Staff, call

pytestmark = pytest.mark.django_db(transaction=True)


def inline(name: str, **fields: Any) -> dict[str, Any]:
    forms = {f"{name}-TOTAL_FORMS": 1, f"{name}-INITIAL_FORMS": 0}
    return forms | {f"{name}-0-{field}": value for field, value in fields.items()}


def test_on_a_key_it_acts_on_the_next_call(erin: Customer, superuser: Staff) -> None:
    key = ApiKey.objects.get(pk=callers.look_up(erin.key).prefix)
    page = f"billing/apikey/{key.pk}/change/"
    assert "budget-0-tokens_per_day" in superuser.open(page).text
    answer = superuser.send(page, name=key.name, **inline("budget", tokens_per_day=10))
    assert answer.status_code == 302, answer.text
    assert Budget.objects.get(key=key).tokens_per_day == 10
    assert [call(erin, "trace_start").admitted for _ in range(2)] == [True, False]


def test_on_a_plan_it_holds_for_each_key(erin: Customer, superuser: Staff) -> None:
    plan = Plan.objects.get(code="enterprise")
    assert "key_budget-0-tokens_per_day" in superuser.open(f"billing/plan/{plan.pk}/change/").text
    assert edit_plan(superuser, "enterprise", **inline("key_budget", tokens_per_month=10)).status_code == 302
    assert Budget.objects.get(plan=plan).tokens_per_month == 10
    assert [call(erin, "trace_start").admitted for _ in range(2)] == [True, False]


def test_who_may_look_only_changes_nothing(erin: Customer, clerk: Staff) -> None:
    key = callers.look_up(erin.key).prefix
    clerk.may("billing.view_apikey")
    assert clerk.open(f"billing/apikey/{key}/change/").status_code == 200
    assert clerk.send(f"billing/apikey/{key}/change/", **inline("budget", tokens_per_day=1)).status_code == 403
    assert not Budget.objects.exists()
