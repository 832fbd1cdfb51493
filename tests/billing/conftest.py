"""Staff at the admin, and what a customer may do after they were there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from billing.models import Plan
from ratelimit.store import client as redis_client
from tests.cast import Customer
from usage.metering import admit
from usage.metering.call import ChargeRequest


class Staff:
    """Somebody logged in to the admin."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def open(self, page: str) -> Any:
        return self.client.get(f"/admin/{page}")

    def send(self, page: str, **fields: Any) -> Any:
        return self.client.post(f"/admin/{page}", fields)

    def may(self, *permissions: str) -> Staff:
        for permission in permissions:
            app, codename = permission.split(".")
            self.user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        return self


def call(customer: Customer, feature: str = "") -> admit.Admission:
    """What the gateway would decide on the customer's next call."""
    return admit.admit(
        customer.caller, lambda catalogue: ChargeRequest(catalogue.features[feature] if feature else None)
    )


@pytest.fixture
def superuser(db: None) -> Staff:
    return Staff(User.objects.create_superuser("sue", password="sue"))


@pytest.fixture
def clerk(db: None) -> Staff:
    """Staff without any permission."""
    return Staff(User.objects.create_user("clark", is_staff=True))


def plan_form(plan: Plan, **changes: Any) -> dict[str, Any]:
    """What the browser sends when `changes` were typed into the plan's form."""
    fields: dict[str, Any] = {
        "name": plan.name,
        "rank": plan.rank,
        "price": plan.price,
        "currency": plan.currency,
        "interval": plan.interval,
        "monthly_token_quota": "" if plan.monthly_token_quota is None else plan.monthly_token_quota,
        "requests_per_minute": "" if plan.requests_per_minute is None else plan.requests_per_minute,
        "quota_window": plan.quota_window,
        "capabilities": list(plan.capabilities.values_list("pk", flat=True)),
    }
    return fields | changes


def edit_plan(staff: Staff, code: str, /, **changes: Any) -> Any:
    plan = Plan.objects.get(code=code)
    return staff.send(f"billing/plan/{plan.pk}/change/", **plan_form(plan, **changes))


def form_errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "the form was accepted"
    return dict(response.context["adminform"].errors)


def version_in_redis(subject_key: str) -> int:
    return int(redis_client().get(subject_key) or 0)  # type: ignore[arg-type]
