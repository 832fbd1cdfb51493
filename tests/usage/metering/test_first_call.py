"""A worker's first call of an account: Redis is asked whether it knows the account, and told only where it does not.

A worker that has begun anew is one that has forgotten all accounts, while Redis goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.entitlements import snapshots
from billing.entitlements.callers import Caller
from billing.models import LimitOverride
from billing.rules.instants import to_ms
from billing.rules.periods import Period
from ratelimit.keys import AccountKeys
from ratelimit.limits import Outcome
from ratelimit.store import client, store
from tests.cast import Customer, call
from tests.redis_commands import redis_commands
from usage.drain import drain
from usage.metering.admit import Admission, admit
from usage.metering.call import ChargeRequest
from usage.models import WindowUsage
from usage.sync import publish

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice_known(alice: Customer) -> Customer:
    """Alice on community, 100 tokens: 90 are used, drained, and known to Redis; the worker has begun anew."""
    for _ in range(9):
        assert call(alice, "trace_start").admitted
    drain.drain()
    keys = AccountKeys(alice.account)
    client().delete(keys.ring, keys.ring_body)  # its minute is over
    forget()
    return alice


def forget() -> None:
    snapshots._accounts.clear()
    store().ping()  # the worker knows which server answers


@contextmanager
def statements() -> Iterator[list[str]]:
    """What PostgreSQL is asked within."""
    asked: list[str] = []
    with CaptureQueriesContext(connection) as captured:
        yield asked
    asked += [query["sql"] for query in captured.captured_queries]


def quota_key(customer: Customer) -> bytes:
    window = WindowUsage.objects.get(account_id=customer.account)
    return AccountKeys(customer.account).quota(to_ms(window.starts_at))


def test_two_statements_and_one_command(alice_known: Customer) -> None:
    caller = alice_known.caller
    with statements() as asked, redis_commands() as commands:
        admission = call_by(caller, "trace_start")
    assert admission.quota.used == 100
    assert commands == ["EVALSHA"]
    assert len(asked) == 2, asked


def call_by(caller: Caller, feature: str) -> Admission:
    """Of a key that the worker knows."""
    return admit(caller, lambda catalogue: ChargeRequest(catalogue.features[feature]))


def test_the_next_call_asks_postgres_nothing(alice_known: Customer) -> None:
    caller = alice_known.caller
    call_by(caller, "trace_expand")
    with statements() as asked, redis_commands() as commands:
        assert call_by(caller, "trace_expand").quota.used == 100
    assert (commands, asked) == (["EVALSHA"], [])


@pytest.mark.parametrize("tokens", [0, 89, 90, 91])
def test_redis_with_an_older_counter_is_told_first(alice_known: Customer, tokens: int) -> None:
    """As after a restart with older data: what it counted, and the revision that it was told last, are of before."""
    client().hset(quota_key(alice_known), mapping={"l": tokens, "p": 0, "r": 0})
    assert call(alice_known, "trace_start").quota.used == 100
    assert call(alice_known, "trace_start").decision.outcome is Outcome.REFUSED


def test_redis_that_has_lost_the_account_is_told(alice_known: Customer) -> None:
    client().flushdb()
    assert call(alice_known, "trace_start").quota.used == 100
    assert call(alice_known, "trace_start").decision.outcome is Outcome.REFUSED


def test_redis_that_has_lost_the_counter_alone_is_told(alice_known: Customer) -> None:
    client().delete(quota_key(alice_known))
    assert call(alice_known, "trace_start").quota.used == 100


def test_redis_that_is_ahead_is_believed(alice_known: Customer) -> None:
    """Charges that no drain has brought to PostgreSQL yet."""
    assert call(alice_known, "trace_expand").quota.used == 95
    forget()
    assert call(alice_known, "trace_expand").quota.used == 100
    forget()
    assert call(alice_known, "trace_expand").decision.outcome is Outcome.REFUSED


def test_a_charge_that_postgres_has_made_alone_counts(alice_known: Customer) -> None:
    """The fence that the charge raised is in Redis before its counter is."""
    window = WindowUsage.objects.get(account_id=alice_known.account)
    WindowUsage.objects.filter(pk=window.pk).update(tokens=100, revision=window.revision + 1)
    assert call(alice_known, "trace_start").decision.outcome is Outcome.REFUSED


def test_facts_that_change_while_the_worker_reads_them_are_read_again(alice_known: Customer) -> None:
    snapshots.snapshot(alice_known.account, to_ms(datetime.now(UTC)))
    LimitOverride.objects.create(account=alice_known.user, limit="quota", maximum=95)
    assert call(alice_known, "trace_start").decision.outcome is Outcome.REFUSED
    assert call(alice_known, "trace_expand").admitted


@pytest.mark.parametrize(("began", "is_told"), [(timedelta(hours=1), False), (timedelta(days=3), True)])
def test_an_idempotency_key_of_the_window_before_is_published(bob: Customer, began: timedelta, is_told: bool) -> None:
    """No counter of a young window tells whether Redis has lost a key of the last one, so the account is published."""
    assert bob.post("/api/v1/trace/start", {}, **{"Idempotency-Key": "k"}).status_code == 200
    drain.drain()
    now = datetime.now(UTC)
    window = Period(now - began, now + timedelta(days=20))
    assert (publish.known_revision(bob.account, window, now) == 0) is is_told


def test_the_first_call_of_all_is_charged(alice: Customer) -> None:
    """Nobody has published the account before."""
    forget()
    assert call(alice, "trace_start").quota.used == 10
