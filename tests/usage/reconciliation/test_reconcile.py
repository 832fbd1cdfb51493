"""Reconciling: every kind of drift is found, told and put right, and gone the next time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from ratelimit import scripts
from ratelimit.keys import stream
from ratelimit.store import client
from tests.cast import Customer
from tests.outages import redis_gone
from tests.usage.drifting import compared, held, parts, quota_key, spend, sql
from tests.usage.histories import APRIL, MARCH, admit, charge, put, sums
from usage import tasks
from usage.drain import drain
from usage.metering import voiding
from usage.models import DailyUsage, FeatureUsage, Reconciliation, WindowUsage
from usage.reconciliation import compare, reconcile

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db

COUNTER, FEATURE, DAY, LEDGER, PENDING = "counter", "feature total", "daily total", "Redis' counter", "Redis' pending"
Damage = Callable[[Customer], object]


def test_nothing_drifts_with_calls_drained_and_waiting(bob: Customer, carol: Customer) -> None:
    spend(bob, 2, 1)
    voiding.void_failed_call(admit(carol))
    found, report = compared()
    assert (found, report.drifting, report.unpublished, report.left_out) == ([], 0, 0, 0)
    assert report.accounts == report.windows == 2


def test_with_nothing_used_there_is_nothing_to_compare(bob: Customer) -> None:
    assert compared()[1].accounts == 0


DAMAGES: list[tuple[Damage, set[str], str]] = [
    (
        lambda _: sql("UPDATE usage_windowusage SET tokens = 99"),
        {COUNTER, LEDGER},
        "log 20, counter 99 at revision 1, features 20, Redis 20 at revision 1 and 10 pending, stream 10",
    ),
    (
        lambda _: sql("DELETE FROM usage_windowusage"),
        {COUNTER, LEDGER},
        "log 20, counter 0 at revision 0, features 20, Redis 20 at revision 1 and 10 pending, stream 10",
    ),
    (lambda _: sql("UPDATE usage_featureusage SET tokens = 21"), {FEATURE}, "log 20, total 21"),
    (lambda _: sql("DELETE FROM usage_featureusage"), {FEATURE}, "log 20, total 0"),
    (
        lambda bob: sql(
            "INSERT INTO usage_featureusage SELECT account_id, window_starts_at, 'x', 3 FROM usage_featureusage"
        ),
        {FEATURE},
        "log 0, total 3",
    ),
    (lambda _: sql("UPDATE usage_dailyusage SET calls = 3"), {DAY}, "log 20 tokens in 2 calls, total 20 in 3"),
    (lambda _: sql("UPDATE usage_dailyusage SET tokens = 3"), {DAY}, "log 20 tokens in 2 calls, total 3 in 2"),
    (lambda _: sql("DELETE FROM usage_dailyusage"), {DAY}, "log 20 tokens in 2 calls, total 0 in 0"),
    (lambda bob: client().hset(quota_key(bob), "l", 5), {LEDGER}, "Redis 5 at revision 1"),
    (lambda bob: client().hset(quota_key(bob), "r", 7), {LEDGER}, "Redis 20 at revision 7"),
    (lambda bob: client().hset(quota_key(bob), "p", 0), {PENDING}, "0 pending, stream 10"),
    (lambda bob: client().hincrby(quota_key(bob), "p", 5), {PENDING}, "15 pending, stream 10"),
    (lambda bob: client().delete(quota_key(bob)), {PENDING}, "0 pending, stream 10"),
    (lambda bob: client().delete(stream(bob.account % 64)), {PENDING}, "10 pending, stream 0"),
]


@pytest.mark.parametrize(("damage", "expected", "told"), DAMAGES)
def test_each_kind_is_found_told_repaired_and_gone(
    bob: Customer, carol: Customer, damage: Damage, expected: set[str], told: str
) -> None:
    spend(bob, 2, 1)
    waiting = 10 if damage is not DAMAGES[-1][0] else 0
    damage(bob)
    found, report = compared()
    assert parts(found) == expected
    assert all(drift.account == bob.account for drift in found)
    assert any(told in str(drift) for drift in found), [str(drift) for drift in found]
    assert (report.drifting, report.repaired) == (1, 0)
    repaired = compared(repairing=True)
    assert (parts(repaired[0]), repaired[1].repaired) == (expected, 1)
    assert compared()[0] == []
    assert sums(bob.account) == {20}
    assert DailyUsage.objects.get(calls__gt=0).calls == 2
    assert (int(held(bob)[b"l"]), int(held(bob)[b"p"])) == (20, waiting)
    drain.drain()
    assert sums(bob.account) == {20 + waiting}
    assert (compared()[0], admit(bob).quota.used) == ([], 30 + waiting)


def test_all_of_them_at_once_and_in_many_accounts(bob: Customer, carol: Customer, dave: Customer) -> None:
    for customer in (bob, carol, dave):
        spend(customer, 2)
    for customer in (bob, carol, dave):
        admit(customer)
    for table in ("windowusage", "featureusage", "dailyusage"):
        sql(f"DELETE FROM usage_{table}")
    client().hset(quota_key(bob), mapping={"l": 1, "p": 2, "r": 9})
    found, report = compared(repairing=True)
    assert parts(found) == {COUNTER, FEATURE, DAY, LEDGER, PENDING}
    assert (report.drifting, report.repaired) == (3, 3)
    assert compared()[0] == []
    for customer in (bob, carol, dave):
        assert (sums(customer.account), admit(customer).quota.used) == ({20}, 40)


def test_a_repaired_quota_outlives_its_window_and_no_longer(bob: Customer) -> None:
    spend(bob, 1)
    client().delete(quota_key(bob))
    admit(bob)
    window = WindowUsage.objects.get()
    client().hset(quota_key(bob), "p", 11)
    client().persist(quota_key(bob))
    sql("UPDATE usage_windowusage SET tokens = 99")
    compared(repairing=True)
    kept_until = round(window.ends_at.timestamp() * 1000) + scripts.KEPT_AFTER_WINDOW_MS
    assert client().pexpiretime(quota_key(bob)) == kept_until


def test_of_one_account_only(bob: Customer, carol: Customer) -> None:
    spend(bob, 1)
    spend(carol, 1)
    sql("UPDATE usage_windowusage SET tokens = 99")
    found, report = compared(account=carol.account, repairing=True)
    assert ({drift.account for drift in found}, report.accounts) == ({carol.account}, 1)
    found, _ = compared()
    assert {drift.account for drift in found} == {bob.account}


def test_more_accounts_than_are_compared_at_once(
    bob: Customer, carol: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "AT_ONCE", 2)
    monkeypatch.setattr(compare, "PAGE", 2)
    accounts = [bob.account + 64 * n for n in range(1, 6)]
    for account in accounts:
        put(charge(account), shard=bob.account % 64)
        client().hincrby(f"{{s{bob.account % 64:02d}}}:q:{account}:{MARCH}", "p", 10 if account != accounts[2] else 9)
    at = datetime.fromtimestamp(APRIL - 5, UTC)
    found, report = compared(now=at)
    assert ([drift.account for drift in found], report.accounts) == ([accounts[2]], 5)


def test_a_run_over_all_accounts_is_kept_for_the_metric(bob: Customer) -> None:
    spend(bob, 1)
    sql("UPDATE usage_windowusage SET tokens = 99")
    compared(account=bob.account)
    assert not Reconciliation.objects.exists()
    compared()
    compared(repairing=True)
    rows = Reconciliation.objects.order_by("pk").values_list("accounts", "windows", "drifting", "repaired")
    assert list(rows) == [(1, 1, 1, 0), (1, 1, 1, 1)]


def test_the_nightly_run_tells_the_log(bob: Customer, caplog: pytest.LogCaptureFixture) -> None:
    spend(bob, 1)
    reconcile.nightly(timezone.now())
    assert [record.levelname for record in caplog.records] == ["INFO"]
    sql("UPDATE usage_featureusage SET tokens = 11")
    reconcile.nightly(timezone.now())
    assert [record.levelname for record in caplog.records[1:]] == ["ERROR", "ERROR"]
    assert FeatureUsage.objects.get().tokens == 11


def test_the_nightly_task_says_in_one_line_that_redis_is_gone(
    bob: Customer, redis_gone: None, caplog: pytest.LogCaptureFixture
) -> None:
    tasks.reconcile_usage()
    (record,) = caplog.records
    assert record.getMessage().startswith("usage was not reconciled: ")
    assert not Reconciliation.objects.exists()
