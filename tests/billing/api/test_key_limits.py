"""Limits of API keys over HTTP: set, shown, changed, kept by rotation."""

from __future__ import annotations

import pytest

from billing.models import Budget
from billing.rules.tokens.budgets import Budgets
from tests.billing.api.test_keys import KEYS, change, create, kinds, mia, rotate, works
from tests.cast import Customer

__all__ = ["mia"]
pytestmark = pytest.mark.django_db(transaction=True)
NO_LIMITS = dict.fromkeys(Budgets._fields)


def test_limits_are_set_shown_changed_and_kept_by_rotation(mia: Customer) -> None:
    made = create(mia, limits={"requests_per_minute": 3, "tokens_per_day": 20})
    assert made["limits"] == NO_LIMITS | {"requests_per_minute": 3, "tokens_per_day": 20}
    changed = change(mia, made["id"], limits={"tokens_per_day": None, "tokens_per_run": 7})
    assert changed.json()["limits"] == NO_LIMITS | {"requests_per_minute": 3, "tokens_per_run": 7}
    assert kinds(mia.account)[-1] == ("api_key.changed", {"key": made["id"]})
    turned = rotate(mia, made["id"], 60).json()
    assert turned["limits"] == changed.json()["limits"]
    assert [works(turned["key"]) for _ in range(4)] == [True, True, True, False]
    none = change(mia, made["id"], limits={"requests_per_minute": None, "tokens_per_run": None})
    assert none.json()["limits"] == NO_LIMITS
    assert not Budget.objects.filter(key=made["id"]).exists()
    assert all(works(made["key"]) for _ in range(4))
    assert mia.api.get(KEYS).json()["results"][0]["limits"]["requests_per_minute"] == 3
