"""Calls while Redis is out of reach: decided by PostgreSQL as strictly, and known to Redis when it is back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from billing.models import ApiKey, LimitOverride, Plan
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import MINUTE_MEMBERS, QUOTA_MEMBERS, left, policies, problem
from tests.outages import lose_postgres, no_redis
from tests.usage.histories import sums
from tests.usage.without_redis import TRACE, judged_by_redis, one_process, redis_is_back
from usage.drain import drain
from usage.models import RedisOutage, UsageLog

__all__ = ["lose_postgres", "one_process"]
pytestmark = pytest.mark.django_db


class TestQuota:
    @pytest.mark.parametrize(
        ("quota", "statuses"), [(29, [200, 200, 429]), (30, [200, 200, 200]), (31, [200, 200, 200]), (9, [429] * 3)]
    )
    def test_to_the_token(self, bob: Customer, quota: int, statuses: list[int], settings: Any) -> None:
        LimitOverride.objects.create(account=bob.user, limit="quota", maximum=quota)
        with no_redis(settings):
            assert [bob.api.get(TRACE).status_code for _ in range(3)] == statuses
        assert sums(bob.account) == {10 * statuses.count(200)}

    def test_what_was_drained_before_counts_and_so_does_what_comes_after(self, alice: Customer, settings: Any) -> None:
        assert alice.api.get(TRACE).status_code == 200
        drain.drain()
        with no_redis(settings):
            response = alice.api.get(TRACE)
            assert (response["X-Usage-Cost"], left(response)["quota"]) == ("10", 80)
        redis_is_back()
        assert judged_by_redis(alice) == 20
        assert left(alice.api.get(TRACE))["quota"] == 70
        drain.drain()
        assert sums(alice.account) == {30}

    def test_the_refusal_is_the_usual_one(self, alice: Customer, settings: Any) -> None:
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=9)
        with no_redis(settings):
            response = alice.api.get(TRACE)
        body = problem(response, 429, "quota_exceeded", QUOTA_MEMBERS - {"type", "title", "status", "detail", "code"})
        assert (body["tokens_used"], body["cost"], body["retry_after"]) == (0, 10, None)
        assert UsageLog.objects.filter(kind="charge").count() == 0

    def test_unlimited_is_counted(self, erin: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert erin.api.get(TRACE).status_code == 200
        assert sums(erin.account) == {10}

    def test_a_feature_the_plan_lacks_consumes_nothing(self, alice: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert alice.api.get("/api/v1/graph/nodes").status_code == 403
            assert left(alice.api.get("/api/v1/usage/current")) == {"minute": 9, "quota": 100}
        assert UsageLog.objects.count() == 0


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_no_token_over_the_quota(self, carol: Customer, settings: Any) -> None:
        LimitOverride.objects.create(account=carol.user, limit="quota", maximum=105)

        def call(_: int) -> int:
            try:
                return Client(headers={"authorization": f"Bearer {carol.key}"}).get(TRACE).status_code
            finally:
                connections.close_all()

        with no_redis(settings), ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(call, range(32)))
        assert (statuses.count(200), statuses.count(429)) == (10, 22)
        assert sums(carol.account) == {100}
        assert RedisOutage.objects.count() == 1

    def test_one_key_is_one_charge(self, carol: Customer, settings: Any) -> None:
        def call(_: int) -> str:
            try:
                headers = {"authorization": f"Bearer {carol.key}", "idempotency-key": "k"}
                response = Client(headers=headers).get(TRACE)
                assert response.status_code in (200, 409)
                return str(response["X-Usage-Event"]) if response.status_code == 200 else ""
            finally:
                connections.close_all()

        with no_redis(settings), ThreadPoolExecutor(16) as threads:
            events = set(threads.map(call, range(16)))
        assert len(events - {""}) == 1
        assert sums(carol.account) == {10}


class TestFacts:
    """Nothing stale decides here either: PostgreSQL's own fence is compared."""

    def test_a_changed_plan_acts_on_the_next_call(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert bob.api.get(TRACE).status_code == 200
            Plan.objects.filter(code="starter").update(monthly_token_quota=10)
            assert bob.api.get(TRACE).status_code == 429

    def test_a_revoked_key_is_gone(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert bob.api.get(TRACE).status_code == 200
            ApiKey.objects.update(revoked=True)
            assert bob.api.get(TRACE).status_code == 401

    def test_a_charge_makes_nobody_read_the_facts_again(
        self, bob: Customer, settings: Any, django_assert_num_queries: Any
    ) -> None:
        with no_redis(settings):
            for _ in range(2):
                bob.api.get(TRACE)
            bob.api.get("/api/v1/usage/current")  # which looks for a suggestion once a minute
            with django_assert_num_queries(2) as seen:
                bob.api.get("/api/v1/usage/current")
        tables = [query["sql"].partition(" FROM ")[2].split()[0] for query in seen.captured_queries]
        assert tables == ['"billing_fence"', '"usage_windowusage"']


class TestMinute:
    @pytest.mark.parametrize(("processes", "served"), [(1, 10), (2, 5), (3, 3), (99, 1)])
    def test_each_process_has_its_share(self, alice: Customer, processes: int, served: int, settings: Any) -> None:
        settings.WEB_PROCESSES = processes
        with no_redis(settings), moved_by_hand() as clock:
            statuses = [alice.api.get("/api/v1/usage/current").status_code for _ in range(served + 1)]
            assert statuses == [200] * served + [429]
            refused = alice.api.get("/api/v1/usage/current")
            body = problem(refused, 429, "rate_limited", MINUTE_MEMBERS - {"type", "title", "status", "detail", "code"})
            assert (body["limit"], body["retry_after"]) == (10, 60)
            assert policies(refused)["minute"] == (10, 60)
            assert left(refused)["minute"] == 0
            clock.tick(59.999)
            assert alice.api.get("/api/v1/usage/current").status_code == 429
            clock.tick(0.001)
            assert alice.api.get("/api/v1/usage/current").status_code == 200

    def test_a_call_that_the_quota_refuses_takes_none(self, bob: Customer, settings: Any) -> None:
        LimitOverride.objects.create(account=bob.user, limit="quota", maximum=9)
        with no_redis(settings):
            assert [bob.api.get(TRACE).status_code for _ in range(40)] == [429] * 40
            assert left(bob.api.get("/api/v1/usage/current"))["minute"] == 29

    def test_both_may_refuse(self, alice: Customer, settings: Any) -> None:
        LimitOverride.objects.create(account=alice.user, limit="minute", maximum=1)
        LimitOverride.objects.create(account=alice.user, limit="quota", maximum=9)
        with no_redis(settings):
            assert alice.api.get("/api/v1/usage/current").status_code == 200
            body = alice.api.get(TRACE).json()
        assert (body["violated-policies"], body["code"]) == (["minute", "quota"], "quota_exceeded")


class TestModes:
    def test_refuse(self, bob: Customer, settings: Any) -> None:
        settings.WHEN_REDIS_IS_DOWN = "refuse"
        with no_redis(settings):
            response = bob.api.get(TRACE)
        problem(response, 503, "unavailable")
        assert response["Retry-After"] == "1"

    def test_admit_passes_everything_and_records_it(self, alice: Customer, settings: Any) -> None:
        settings.WHEN_REDIS_IS_DOWN = "admit"
        with no_redis(settings):
            assert [alice.api.get(TRACE).status_code for _ in range(12)] == [200] * 12
            assert alice.api.get("/api/v1/graph/nodes").status_code == 403
        assert sums(alice.account) == {120}
        redis_is_back()
        assert alice.api.get(TRACE).status_code == 429


@pytest.mark.django_db(transaction=True)
def test_without_either_engine_there_is_no_decision(bob: Customer, settings: Any, lose_postgres: Any) -> None:
    bob.api.get(TRACE)
    with no_redis(settings):
        lose_postgres()
        response = bob.api.get(TRACE)
    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "1"
