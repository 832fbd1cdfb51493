"""What a worker remembers: bounded, never mixed of two moments, forgotten when the fence says so."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from billing.bounded_cache import BoundedCache
from billing.catalogue import in_memory
from billing.catalogue.in_memory import Catalogue
from billing.entitlements import snapshots
from billing.fence.push import fence_version
from billing.models import LimitOverride, Plan, Route
from billing.rules.entitlements.entitlement import Metered
from tests.cast import Customer


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NOON = ms("2031-03-14T12:00:00+00:00")


class TestRemembered:
    @pytest.mark.parametrize(("size", "kept"), [(1, [3]), (2, [2, 3]), (3, [1, 2, 3]), (4, [1, 2, 3])])
    def test_it_forgets_the_oldest(self, size: int, kept: list[int]) -> None:
        remembered: BoundedCache[int, str] = BoundedCache(size)
        for key in (1, 2, 3, 3):
            assert remembered.remember(key, f"value {key}") == f"value {key}"
        assert list(remembered) == kept

    def test_many_threads_may_fill_it(self) -> None:
        remembered: BoundedCache[int, int] = BoundedCache(10)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda key: remembered.remember(key, key), range(5_000)))
        # Of threads that find it too full at once each forgets an entry.
        assert 10 - 8 < len(remembered) <= 10


class TestFeatureAt:
    CATALOGUE = Catalogue(
        1,
        {},
        {code: Metered(code, 1) for code in ("any", "read", "write", "deep", "root")},
        {
            ("/a", ""): "any",
            ("/a", "GET"): "read",
            ("/a/b", "POST"): "write",
            ("/a/b/c", ""): "deep",
        },
    )

    @pytest.mark.parametrize(
        ("method", "path", "feature"),
        [
            ("GET", "/a", "read"),
            ("HEAD", "/a", "read"),
            ("POST", "/a", "any"),
            ("FROB", "/a", "any"),
            ("GET", "/a/x/y/z", "read"),
            ("POST", "/a/b", "write"),
            ("GET", "/a/b", "read"),
            ("DELETE", "/a/b", "any"),
            ("POST", "/a/b/c", "deep"),
            ("POST", "/a/b/cc", "write"),
            ("GET", "/ab", None),
            ("GET", "/", None),
            ("GET", "", None),
            ("GET", "/x/a", None),
        ],
    )
    def test_the_longest_prefix_wins_and_a_method_before_none(self, method: str, path: str, feature: str) -> None:
        found = self.CATALOGUE.feature_at(method, path)
        assert (found.code if found else None) == feature


@pytest.mark.django_db
class TestSnapshot:
    def test_a_warm_one_asks_nobody(self, bob: Customer) -> None:
        first = snapshots.snapshot(bob.account, NOON)
        with CaptureQueriesContext(connection) as queries:
            assert snapshots.snapshot(bob.account, NOON + 1) is first
        assert len(queries) == 0
        assert (first.entitlement.quota, first.entitlement.requests_per_minute) == (500, 30)

    def test_time_alone_changes_it_without_a_query(self, bob: Customer) -> None:
        expiry = datetime(2031, 3, 14, 13, tzinfo=UTC)
        LimitOverride.objects.create(account=bob.user, limit="quota", maximum=7, expires_at=expiry)
        before = snapshots.snapshot(bob.account, NOON)
        with CaptureQueriesContext(connection) as queries:
            last = snapshots.snapshot(bob.account, ms("2031-03-14T12:59:59.999+00:00"))
            after = snapshots.snapshot(bob.account, ms("2031-03-14T13:00:00+00:00"))
            april = snapshots.snapshot(bob.account, ms("2031-04-01T00:00:00+00:00"))
        assert len(queries) == 0
        assert (last is before, last.entitlement.quota, after.entitlement.quota) == (True, 7, 500)
        assert april.entitlement.window.start == datetime(2031, 4, 1, tzinfo=UTC)

    def test_an_earlier_clock_is_served_too(self, bob: Customer) -> None:
        april = snapshots.snapshot(bob.account, ms("2031-04-01T00:00:00+00:00"))
        march = snapshots.snapshot(bob.account, ms("2031-03-31T23:59:59.999+00:00"))
        assert (april.entitlement.window.start.month, march.entitlement.window.start.month) == (4, 3)

    def test_one_that_is_held_never_changes(self, bob: Customer) -> None:
        """A thread decides by limits and versions that belong together, whatever others learn meanwhile."""
        held = snapshots.snapshot(bob.account, NOON)
        limits, versions = held.entitlement, held.versions
        Plan.objects.filter(code="starter").update(monthly_token_quota=7)
        in_memory.reload_catalogue(held.catalogue.version + 1)
        fresh = snapshots.snapshot(bob.account, NOON)
        assert (fresh.entitlement.quota, fresh.versions != versions) == (7, True)
        assert (held.entitlement, held.versions) == (limits, versions)
        assert snapshots.snapshot(bob.account, NOON) is fresh

    def test_a_reload_that_another_thread_has_done_is_not_done_again(self, bob: Customer) -> None:
        stale = snapshots.snapshot(bob.account, NOON)
        LimitOverride.objects.create(account=bob.user, limit="quota", maximum=7)
        wanted = stale.facts.version + 1
        fresh = snapshots.reload(bob.account, wanted, NOON)
        with CaptureQueriesContext(connection) as queries:
            assert snapshots.reload(bob.account, wanted, NOON) is fresh
        assert len(queries) == 0
        assert (fresh.facts.version, fresh.entitlement.quota) == (wanted, 7)

    def test_what_another_thread_has_read_is_not_new_enough_for_a_later_version(self, bob: Customer) -> None:
        stale = snapshots.snapshot(bob.account, NOON)
        for maximum in (7, 8):
            LimitOverride.objects.create(account=bob.user, limit="quota", maximum=maximum)
            wanted = fence_version(bob.account)
            assert snapshots.reload(bob.account, wanted, NOON).entitlement.quota == maximum
        assert wanted == stale.facts.version + 2

    def test_facts_brought_to_a_new_catalogue_are_as_old_as_before(self, bob: Customer) -> None:
        stale = snapshots.snapshot(bob.account, NOON)
        in_memory.reload_catalogue(stale.catalogue.version + 1)
        assert snapshots.snapshot(bob.account, NOON).facts is stale.facts
        assert snapshots.reload(bob.account, stale.facts.version + 1, NOON).facts is not stale.facts

    def test_a_plan_made_after_the_catalogue_was_read(self, bob: Customer) -> None:
        in_memory.catalogue()
        new = Plan.objects.create(code="new", name="New", price=1, monthly_token_quota=3)
        bob.user.subscriptions.update(plan=new)
        assert snapshots.snapshot(bob.account, NOON).entitlement.quota == 3

    def test_routes_are_compared_in_one_spelling(self, bob: Customer) -> None:
        Route.objects.filter(path="/api/v1/risk/score").update(path="/API/v1//Risk/score/")
        assert in_memory.catalogue().feature_at("GET", "/api/v1/risk/score/7") is not None


@pytest.mark.django_db(transaction=True)
def test_many_threads_read_one_account_once(bob: Customer) -> None:
    in_memory.catalogue()

    def read(_: int) -> tuple[object, int]:
        try:
            with CaptureQueriesContext(connection) as queries:
                facts = snapshots.snapshot(bob.account, NOON).facts
            return facts, len(queries)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(12) as threads:
        read_by = list(threads.map(read, range(12)))
    assert len({id(facts) for facts, _ in read_by}) == 1
    assert sum(queries > 0 for _, queries in read_by) == 1


@pytest.mark.django_db
def test_the_catalogue_elsewhere_is_at_most_a_second_old(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(in_memory, "_catalogue_checked", 0.0)
    first = in_memory.recent_catalogue()
    Route.objects.create(path="/elsewhere", feature_id=Route.objects.first().feature_id)  # type: ignore[union-attr]
    seen = []
    for seconds in (0.5, 0.5, 0.01):
        moment[0] += seconds
        seen.append(in_memory.recent_catalogue().feature_at("GET", "/elsewhere") is not None)
    assert (seen, first.feature_at("GET", "/elsewhere")) == ([False, False, True], None)
