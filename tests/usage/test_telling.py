"""Redis is told the newest facts, also when they change, and it loses them, while it is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F

from billing import snapshots
from billing.models import Fence
from ratelimit import limiter
from ratelimit.store import client
from tests.conftest import Customer
from usage import telling

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_version_that_was_pushed_and_lost_meanwhile_is_told(bob: Customer, changes: int, monkeypatch: Any) -> None:
    snapshot = snapshots.snapshot(bob.account, 0)
    versions, tell, told = snapshot.versions, limiter.tell, []

    def tell_while_facts_change(*arguments: Any) -> Any:
        told.append(arguments[2])
        if len(told) <= changes:
            Fence.objects.filter(subject=bob.account).update(version=F("version") + 1, pushed=F("version") + 1)
        return tell(*arguments)

    monkeypatch.setattr(limiter, "tell", tell_while_facts_change)
    telling.tell_account(snapshot.keys, versions, snapshot.entitlement.window)
    newest = str(Fence.objects.get(subject=bob.account).version).encode()
    assert client().get(snapshot.keys.fence) == newest
    assert len(told) == changes + 1
