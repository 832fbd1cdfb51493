"""When a key was used last: noted by calls, written in batches, late by a minute at most."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.entitlements import callers, last_used
from billing.fence.push import fence_version
from billing.models import ApiKey, ApiKeyUse
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
CURRENT = "/api/v1/usage/current"


def used(customer: Customer) -> datetime | None:
    return ApiKey.objects.get(account=customer.account).last_used_at


@pytest.fixture
def noting() -> None:
    last_used.begin()


@pytest.mark.usefixtures("noting")
def test_the_last_call_counts_once_it_was_written(bob: Customer) -> None:
    with moved_by_hand() as clock:
        for _ in range(3):
            clock.tick(1)
            assert bob.api.get(CURRENT).status_code == 200
        assert used(bob) is None
        at = timezone.now()
        clock.tick(50)
        last_used.flush()
        assert used(bob) == at
        last_used.flush()
        bob.api.get(CURRENT)
        last_used.flush()
        assert used(bob) == at + timedelta(seconds=50)


@pytest.mark.usefixtures("noting")
def test_a_call_writes_nothing_and_a_use_makes_no_facts_stale(bob: Customer) -> None:
    bob.api.get("/api/v1/trace/start")
    with CaptureQueriesContext(connection) as queries:
        bob.api.get("/api/v1/trace/start")
    assert [query["sql"] for query in queries] == []
    version = fence_version(bob.account)
    last_used.flush()
    assert used(bob) is not None and fence_version(bob.account) == version


@pytest.mark.usefixtures("noting")
def test_who_is_not_let_in_uses_no_key(bob: Customer, alice: Customer, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        ApiKey.objects.get(account=bob.account).revoke()
    bob.api.get(CURRENT)
    Client(headers={"authorization": alice.key}).get(CURRENT)
    session = Client()
    session.force_login(alice.user)
    session.get(CURRENT)
    last_used.flush()
    assert not ApiKeyUse.objects.exists()


def test_where_nobody_writes_them_none_are_noted(bob: Customer) -> None:
    bob.api.get(CURRENT)
    last_used.flush()
    assert not ApiKeyUse.objects.exists()


@pytest.mark.usefixtures("noting")
def test_a_key_that_is_gone_is_left_out(bob: Customer, alice: Customer) -> None:
    for each in (bob, alice):
        each.api.get(CURRENT)
    ApiKey.objects.filter(account=bob.account).delete()
    last_used.flush()
    assert [use.key.account_id for use in ApiKeyUse.objects.select_related("key")] == [alice.account]


@pytest.mark.usefixtures("noting")
def test_what_postgresql_does_not_take_is_written_later(bob: Customer) -> None:
    from django.db import transaction

    bob.api.get(CURRENT)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL default_transaction_read_only = on")
            cursor.execute("SET TRANSACTION READ ONLY")
        last_used.flush()
        transaction.set_rollback(True)
    assert used(bob) is None
    last_used.flush()
    assert used(bob) is not None


@pytest.mark.django_db(transaction=True)
def test_processes_that_write_the_same_keys_keep_the_latest(bob: Customer, alice: Customer) -> None:
    prefixes = [callers.look_up(each.key).prefix for each in (bob, alice)]
    rows = [[(prefix, float(seconds)) for prefix in sorted(prefixes)] for seconds in range(1, 31)]
    answers = at_once(*[lambda each=each: last_used._write(each) for each in rows])
    assert answers == [None] * 30
    assert {use.used_at.timestamp() for use in ApiKeyUse.objects.all()} == {30.0}
