"""Redis is told the newest facts, also when they change, and it loses them, while it is told."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F

from billing.entitlements import snapshots
from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from billing.models import Fence
from ratelimit import counters, scripts
from ratelimit.keys import AccountKeys
from ratelimit.servers.single import Command
from ratelimit.store import client, store
from tests.cast import Customer
from tests.usage.histories import admit
from usage.drain import drain
from usage.sync import publish

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_version_that_was_pushed_and_lost_meanwhile_is_published(
    bob: Customer, changes: int, monkeypatch: Any
) -> None:
    snapshot = snapshots.snapshot(bob.account, 0)
    versions, publish_counters, published = snapshot.versions, counters.publish, []

    def publish_while_facts_change(*arguments: Any) -> Any:
        published.append(arguments[2])
        if len(published) <= changes:
            Fence.objects.filter(subject=bob.account).update(version=F("version") + 1, pushed=F("version") + 1)
        return publish_counters(*arguments)

    monkeypatch.setattr(counters, "publish", publish_while_facts_change)
    publish.publish_account(snapshot.keys, versions, snapshot.entitlement.window)
    newest = str(Fence.objects.get(subject=bob.account).version).encode()
    assert client().get(snapshot.keys.fence) == newest
    assert len(published) == changes + 1


def test_a_fence_that_is_pushed_after_redis_has_lost_the_account_gives_no_second_quota(bob: Customer) -> None:
    """Its push of long ago was in doubt, so the sweep repeats it; another account has brought the catalogue's fence."""
    assert admit(bob).quota.used == 10
    drain.drain()
    client().flushall()
    keys, version = AccountKeys(bob.account), fence_version(CATALOGUE)
    store().run(Command(scripts.RAISE_FENCES, [keys.catalogue_fence], [version]))
    Fence.objects.filter(subject=bob.account).update(pushed=0)
    push.sweep()
    assert client().exists(keys.fence)
    assert admit(bob).quota.used == 20
