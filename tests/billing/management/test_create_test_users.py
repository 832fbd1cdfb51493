"""manage.py create_test_users: one user a plan, a new key each time."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.entitlements import callers
from billing.models import ApiKey, Plan, Subscription
from billing.subscriptions import canceling, changes
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db

PLANS = ["community", "starter", "pro", "business", "plus", "enterprise"]


def create(*arguments: str) -> tuple[str, str]:
    output, errors = StringIO(), StringIO()
    call_command("create_test_users", *arguments, stdout=output, stderr=errors)
    return output.getvalue(), errors.getvalue()


def created(*arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(create("--json", *arguments)[0]))


def test_json_is_one_user_a_plan_and_nothing_else(catalogue: None) -> None:
    users = created()
    assert [user["plan"] for user in users] == PLANS
    assert all(list(user) == ["username", "plan", "api_key"] for user in users)


def test_each_is_subscribed_to_its_plan_and_its_key_is_its_own(catalogue: None) -> None:
    for user in created():
        subscription = Subscription.objects.live().get(account__username=user["username"])
        assert subscription.plan.code == user["plan"]
        assert callers.look_up(user["api_key"]).account == subscription.account_id


def test_every_run_makes_a_new_key_and_the_older_stays_valid(catalogue: None) -> None:
    first, second = created(), created()
    assert [user["username"] for user in first] == [user["username"] for user in second]
    for user in (*first, *second):
        assert callers.look_up(user["api_key"])
    assert ApiKey.objects.count() == 2 * len(PLANS)
    assert (User.objects.count(), Subscription.objects.count()) == (len(PLANS), len(PLANS))


def test_an_archived_plan_gets_no_user(catalogue: None) -> None:
    Plan.objects.filter(code="plus").update(archived_at=timezone.now())
    assert [user["plan"] for user in created()] == [plan for plan in PLANS if plan != "plus"]


def test_a_user_who_changed_plan_keeps_it_and_it_is_the_one_reported(catalogue: None) -> None:
    pro, community = (Plan.objects.get(code=code) for code in ("pro", "community"))
    with moved_by_hand("2025-10-16T09:30:00Z") as clock:
        created()
        accounts = dict(Subscription.objects.values_list("account__username", "account"))
        changes.upgrade(accounts["starter_user"], pro, timezone.now())
        changes.downgrade_with_effective_date(accounts["plus_user"], community, timezone.now(), frozenset())
        canceling.cancel(accounts["business_user"], timezone.now())
        clock.move_to("2025-11-16T09:30:00Z")
        plans = {user["username"]: user["plan"] for user in created()}
    assert plans["starter_user"] == "pro"
    assert plans["plus_user"] == "community"
    assert plans["business_user"] == "community"


def test_a_password_lets_them_log_in_and_without_one_nobody_can(catalogue: None) -> None:
    created()
    user = User.objects.get(username="pro_user")
    assert not user.has_usable_password()
    created("--password", "a b c")
    user.refresh_from_db()
    assert user.check_password("a b c")
    created()
    user.refresh_from_db()
    assert user.check_password("a b c")


def test_without_json_it_is_a_table(catalogue: None) -> None:
    lines = create()[0].splitlines()
    assert lines[0].split() == ["USERNAME", "PLAN", "API", "KEY"]
    assert [line.split()[:2] for line in lines[1:]] == [[f"{plan}_user", plan] for plan in PLANS]


def test_without_a_catalogue_it_says_what_to_run() -> None:
    with pytest.raises(CommandError, match=r"run manage\.py seed_catalogue first$"):
        create()
    assert not User.objects.exists()


def test_staff_are_never_taken_for_test_users(catalogue: None) -> None:
    User.objects.create_user("enterprise_user", is_staff=True)
    with pytest.raises(CommandError, match="enterprise_user exists and is staff"):
        create("--password", "pw")
    assert User.objects.count() == 1
    assert not ApiKey.objects.exists()


def test_a_deactivated_user_is_named_beside_the_json(catalogue: None) -> None:
    created()
    User.objects.filter(username="pro_user").update(is_active=False)
    output, errors = create("--json")
    assert len(json.loads(output)) == len(PLANS)
    assert "pro_user is deactivated" in errors
