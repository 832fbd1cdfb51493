"""Customers of the cast whom mails reach."""

from __future__ import annotations

import pytest

from tests.cast import Customer


@pytest.fixture
def bob(bob: Customer) -> Customer:
    bob.user.email = "bob@customers.example"
    bob.user.save()
    return bob
