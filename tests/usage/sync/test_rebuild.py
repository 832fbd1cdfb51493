"""manage.py init_redis_keys: an empty Redis learns every counter again, and what is newer there stays."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F

from billing.catalogue import in_memory
from billing.fence.models import CATALOGUE
from billing.models import Fence
from ratelimit import counters
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.store import client, store
from tests.cast import Customer
from tests.conftest import forget_everything
from usage.drain import drain
from usage.metering.admit import admit
from usage.metering.call import ChargeRequest
from usage.models import WindowUsage
from usage.sync import rebuild

pytestmark = pytest.mark.django_db


def spend(customer: Customer, times: int) -> int:
    charge = ChargeRequest(in_memory.catalogue().features["trace_start"])
    return [admit(customer.caller, lambda _: charge).quota.used for _ in range(times)][-1]


def init_redis_keys() -> str:
    out = StringIO()
    call_command("init_redis_keys", stdout=out)
    return out.getvalue()


def used(customer: Customer) -> int:
    """As Redis alone knows it."""
    keys = client().keys(f"*:q:{customer.account}:*")
    return sum(int(client().hget(key, field) or 0) for key in keys for field in ("l", "p"))


def test_every_counter_is_told_to_an_empty_redis(bob: Customer, carol: Customer) -> None:
    spend(bob, 2)
    spend(carol, 3)
    drain.drain()
    forget_everything()
    assert init_redis_keys() == "2 counters published\n"
    assert (used(bob), used(carol)) == (20, 30)
    assert client().get(catalogue_fence(5)) == in_memory.catalogue().version_text
    assert client().exists(AccountKeys(bob.account).fence)


def test_nothing_newer_is_replaced(bob: Customer) -> None:
    spend(bob, 2)
    drain.drain()
    spend(bob, 3)
    init_redis_keys()
    assert used(bob) == 50
    drain.drain()
    assert used(bob) == 50


def test_more_counters_than_a_batch(
    bob: Customer, carol: Customer, dave: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in (bob, carol, dave):
        spend(customer, 1)
    drain.drain()
    forget_everything()
    monkeypatch.setattr(rebuild, "BATCH", 2)
    assert init_redis_keys() == "3 counters published\n"
    assert [used(customer) for customer in (bob, carol, dave)] == [10, 10, 10]


def test_the_windows_of_an_account_are_told_in_one_step(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its fence lets calls be judged, in whichever window: that one was told alone would be a second quota."""
    spend(bob, 1)
    drain.drain()
    present = WindowUsage.objects.get(account_id=bob.account)
    for months in (1, 2):
        begins, ends = (
            present.ends_at + timedelta(days=31 * (months - 1)),
            present.ends_at + timedelta(days=31 * months),
        )
        WindowUsage.objects.create(account_id=bob.account, starts_at=begins, ends_at=ends, tokens=5, revision=1)
    publish, steps = counters.publish, list[int]()

    def noted(redis: Any, keys: AccountKeys, versions: Any, of_account: Any, records: Any) -> Any:
        steps.append(len(of_account))
        return publish(redis, keys, versions, of_account, records)

    monkeypatch.setattr(counters, "publish", noted)
    monkeypatch.setattr(rebuild, "BATCH", 2)
    forget_everything()
    assert init_redis_keys() == "3 counters published\n"
    assert (steps, used(bob)) == ([3], 20)


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_version_that_was_pushed_and_lost_meanwhile_is_published(
    bob: Customer, carol: Customer, changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(bob, 1)
    spend(carol, 1)
    drain.drain()
    publish, published = counters.publish, list[int]()

    def publish_while_facts_change(redis: Any, keys: AccountKeys, *arguments: Any) -> Any:
        published.append(keys.account)
        if published.count(bob.account) <= changes:
            Fence.objects.filter(subject=bob.account).update(version=F("version") + 1, pushed=F("version") + 1)
        return publish(redis, keys, *arguments)

    monkeypatch.setattr(counters, "publish", publish_while_facts_change)
    forget_everything()
    init_redis_keys()
    newest = str(Fence.objects.get(subject=bob.account).version).encode()
    assert client().get(AccountKeys(bob.account).fence) == newest
    assert (published.count(bob.account), published.count(carol.account)) == (changes + 1, 1), "only who changed again"


@pytest.mark.parametrize("changes", [0, 1, 2])
def test_a_version_of_the_catalogue_that_was_pushed_and_lost_meanwhile_is_published(
    changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    Fence.objects.get_or_create(subject=CATALOGUE)
    run_all, left = type(store()).run_all, [changes]

    def run_while_the_catalogue_changes(redis: Any, commands: Any) -> Any:
        if left[0]:
            left[0] -= 1
            Fence.objects.filter(subject=CATALOGUE).update(version=F("version") + 1, pushed=F("version") + 1)
        return run_all(redis, commands)

    monkeypatch.setattr(type(store()), "run_all", run_while_the_catalogue_changes)
    init_redis_keys()
    newest = str(Fence.objects.get(subject=CATALOGUE).version).encode()
    assert {client().get(catalogue_fence(shard)) for shard in (0, 5, 63)} == {newest}


def test_with_nothing_used_there_is_nothing_to_tell(bob: Customer) -> None:
    assert init_redis_keys() == "0 counters published\n"
