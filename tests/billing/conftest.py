"""Staff at the admin, and what a customer may do after they were there."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from tests.conftest import Customer
from usage import meter


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


def call(customer: Customer, feature: str = "") -> meter.Admission:
    """What the gateway would decide on the customer's next call."""
    return meter.admit(
        customer.caller, lambda catalogue: meter.Charge(catalogue.features[feature] if feature else None)
    )


@pytest.fixture
def superuser(db: None) -> Staff:
    return Staff(User.objects.create_superuser("sue", password="sue"))


@pytest.fixture
def clerk(db: None) -> Staff:
    """Staff without any permission."""
    return Staff(User.objects.create_user("clark", is_staff=True))
