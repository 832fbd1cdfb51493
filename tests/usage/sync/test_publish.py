"""Redis is told the newest facts, also when they change, and it loses them, while it is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db.models import F

from billing.entitlements import snapshots
from billing.fence import push
from billing.fence.models import CATALOGUE
from billing.fence.push import fence_version
from billing.models import Fence
from billing.rules.instants import to_ms
from ratelimit import counters, scripts
from ratelimit.keys import AccountKeys
from ratelimit.servers.single import Command
from ratelimit.store import client, store
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.usage.histories import admit
from usage.drain import drain
from usage.models import WindowUsage
from usage.sync import publish, rebuild

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
    publish.publish_account(snapshot.keys, versions, snapshot.entitlement.window, datetime.now(UTC))
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


@pytest.mark.parametrize("lost", [False, True])
def test_a_later_window_that_was_charged_already_is_published(bob: Customer, lost: bool) -> None:
    """Charged by a process whose clock is ahead. The one that publishes does not do so again when the window begins."""
    april, may = datetime(2031, 4, 1, tzinfo=UTC), datetime(2031, 5, 1, tzinfo=UTC)
    with moved_by_hand("2031-03-31T23:59:59Z") as clock:
        assert admit(bob).quota.used == 10
        drain.drain()
        WindowUsage.objects.create(account_id=bob.account, starts_at=april, ends_at=may, tokens=5, revision=1)
        snapshots._accounts.clear()
        if lost:
            client().flushall()
        store().ping()
        assert admit(bob).quota.used == 20
        clock.tick(1)
        assert admit(bob).quota.used == 15


@pytest.mark.parametrize("lost", ["all of it", "the last charge"])
@pytest.mark.parametrize("rebuilds", [False, True])
def test_a_call_of_the_month_that_has_just_ended_is_judged_by_it(bob: Customer, lost: str, rebuilds: bool) -> None:
    """It was on its way while another thread of its process came first, with a call of the new month."""
    march = AccountKeys(bob.account).quota(to_ms(datetime(2031, 3, 1, tzinfo=UTC)))
    with moved_by_hand("2031-03-31T23:59:59Z") as clock:
        assert admit(bob).quota.used == 10
        drain.drain()
        if lost == "all of it":
            client().flushall()
        else:
            client().hset(march, mapping={"l": 0, "r": 0})
        snapshots._accounts.clear()
        store().ping()
        clock.tick(4)
        if rebuilds:
            rebuild.rebuild(datetime.now(UTC), lambda *_: None)
        assert admit(bob).quota.used == 10
        clock.tick(-4)
        assert admit(bob).quota.used == 20
