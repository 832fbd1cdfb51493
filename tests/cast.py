"""The cast: customers, each on a plan of the default catalogue, and the staff who serve them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from billing.entitlements import callers
from billing.entitlements.callers import Caller
from billing.models import ApiKey, Plan
from billing.subscriptions import opening
from tests.schema import CheckedClient
from usage.metering import admit
from usage.metering.call import ChargeRequest


@dataclass
class Customer:
    """One of the cast: a user on a plan, an API key, and a client that sends it."""

    user: Any
    key: str
    api: Client

    @property
    def account(self) -> int:
        return int(self.user.pk)

    @property
    def caller(self) -> Caller:
        return Caller(self.account, self.key, callers.look_up(self.key))

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.api.post(path, body, content_type="application/json", headers=headers)


def call(customer: Customer, feature: str = "") -> admit.Admission:
    """What the gateway would decide on the customer's next call."""
    return admit.admit(
        customer.caller, lambda catalogue: ChargeRequest(catalogue.features[feature] if feature else None)
    )


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


@pytest.fixture
def customer(catalogue: None) -> Callable[..., Customer]:
    def make(name: str, plan: str, scope: str = "") -> Customer:
        user = get_user_model().objects.create_user(name)
        opening.subscribe(user.pk, Plan.objects.get(code=plan), timezone.now())
        _, key = ApiKey.issue(account=user, name=f"{name}'s key", scope=scope)
        api = CheckedClient(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
        return Customer(user, key, api)

    return make


@pytest.fixture
def alice(customer: Callable[..., Customer]) -> Customer:
    """On community: 100 tokens a month, 10 requests a minute, no capability."""
    return customer("alice", "community")


@pytest.fixture
def bob(customer: Callable[..., Customer]) -> Customer:
    """On starter: 500 tokens, 30 requests a minute, investigator."""
    return customer("bob", "starter")


@pytest.fixture
def carol(customer: Callable[..., Customer]) -> Customer:
    """On pro: unlimited tokens, 100 requests a minute, investigator and correlation."""
    return customer("carol", "pro")


@pytest.fixture
def dave(customer: Callable[..., Customer]) -> Customer:
    """On business: unlimited tokens, 200 requests a minute, everything; his key may void."""
    return customer("dave", "business", scope="meter")


@pytest.fixture
def erin(customer: Callable[..., Customer]) -> Customer:
    """On enterprise: nothing is limited."""
    return customer("erin", "enterprise")


@pytest.fixture
def superuser(db: None) -> Staff:
    return Staff(User.objects.create_superuser("sue", password="sue"))


@pytest.fixture
def clerk(db: None) -> Staff:
    """Staff without any permission."""
    return Staff(User.objects.create_user("clark", is_staff=True))
