"""manage.py init_redis_keys: an empty Redis learns every counter again, and what is newer there stays."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command

from billing import snapshots
from ratelimit.keys import AccountKeys, catalogue_fence
from ratelimit.store import client
from tests.conftest import Customer, forget_everything
from usage import ingest, rebuild
from usage.meter import Charge, admit

pytestmark = pytest.mark.django_db


def spend(customer: Customer, times: int) -> int:
    charge = Charge(snapshots.catalogue().features["trace_start"])
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
    ingest.drain()
    forget_everything()
    assert init_redis_keys() == "2 counters told to Redis\n"
    assert (used(bob), used(carol)) == (20, 30)
    assert client().get(catalogue_fence(5)) == snapshots.catalogue().version_text
    assert client().exists(AccountKeys(bob.account).fence)


def test_nothing_newer_is_replaced(bob: Customer) -> None:
    spend(bob, 2)
    ingest.drain()
    spend(bob, 3)
    init_redis_keys()
    assert used(bob) == 50
    ingest.drain()
    assert used(bob) == 50


def test_more_counters_than_a_batch(
    bob: Customer, carol: Customer, dave: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for customer in (bob, carol, dave):
        spend(customer, 1)
    ingest.drain()
    forget_everything()
    monkeypatch.setattr(rebuild, "BATCH", 2)
    assert init_redis_keys() == "3 counters told to Redis\n"
    assert [used(customer) for customer in (bob, carol, dave)] == [10, 10, 10]


def test_with_nothing_used_there_is_nothing_to_tell(bob: Customer) -> None:
    assert init_redis_keys() == "0 counters told to Redis\n"
