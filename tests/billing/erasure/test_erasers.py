"""The modules of ACCOUNT_ERASERS: a host product adds its own, and a wrong one is told at the start."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.utils import timezone

from billing.erasure import deletion, erase
from billing_site.operations.checks.start import ENFORCEMENT
from tests.cast import Customer


@pytest.mark.parametrize("name", ["tests.no_such_module", "tests.factories"])
def test_one_that_is_not_there_or_lacks_a_function_is_told(settings: Any, name: str) -> None:
    settings.ACCOUNT_ERASERS = ["usage.erasure", name]
    (found,) = [message for message in run_checks(tags=[ENFORCEMENT]) if message.id == "billing_site.E018"]
    assert name.rpartition(".")[2] in found.msg


@pytest.fixture
def product(settings: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A host product, which notes what it is asked to erase and keeps whom it knows."""
    module = ModuleType("product_erasure")
    module.asked = []  # type: ignore[attr-defined]

    def check_deletable(account: int) -> None:
        raise deletion.NotDeletable("is_named", account=str(account), what=["reports"])

    module.held = lambda account: {"reports": 3}  # type: ignore[attr-defined]
    module.erase = lambda account, username: module.asked.append((account, username))  # type: ignore[attr-defined]
    module.check_deletable = check_deletable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "product_erasure", module)
    settings.ACCOUNT_ERASERS = ["usage.erasure", "product_erasure"]
    return module


@pytest.mark.django_db(transaction=True)
def test_a_host_product_is_asked_as_well(product: ModuleType, alice: Customer) -> None:
    assert erase.holdings(alice.account).goes["reports"] == 3
    with pytest.raises(deletion.NotDeletable):
        deletion.delete_user(User.objects.get(pk=alice.account))
    erase.erase(alice.account, timezone.now())
    assert product.asked == [(alice.account, "alice")]
