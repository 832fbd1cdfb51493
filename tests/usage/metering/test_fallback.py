"""Calls while Redis is out of reach: decided by PostgreSQL as strictly, and known to Redis when it is back."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.db.models import F
from django.test import Client
from django.utils import timezone

from billing.fence import push
from billing.models import ApiKey, LimitOverride, Plan
from ratelimit import limiter
from ratelimit.servers.single import RedisUnreachable
from ratelimit.store import client
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import MINUTE_MEMBERS, QUOTA_MEMBERS, left, policies, problem
from tests.outages import lose_postgres, lost_replies, no_redis
from tests.usage.histories import admit, in_redis_now, sums
from usage.drain import drain
from usage.log.idempotency import longest_request
from usage.log.second_charges import void_second_charges
from usage.metering import fallback, voiding
from usage.models import RedisOutage, UsageLog, WindowUsage
from usage.sync import outage

__all__ = ["lose_postgres"]
pytestmark = pytest.mark.django_db
TRACE, SCORE, TRACK = "/api/v1/trace/start", "/api/v1/risk/score", "/api/v1/usage/track"


@pytest.fixture(autouse=True)
def one_process(settings: Any) -> None:
    settings.WEB_PROCESSES = 1


def keyed(customer: Customer, body: Any = None) -> Any:
    return customer.post(SCORE, body or {}, **{"Idempotency-Key": "k"})


def after_the_longest_request() -> AbstractContextManager[Any]:
    return moved_by_hand(f"{timezone.now() + longest_request() + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}")


def redis_is_back() -> None:
    assert outage.breaker.attempt()


def judged_by_redis(customer: Customer) -> int:
    """Tokens used as Redis judges them, found out by a call that it decides."""
    assert customer.api.get("/api/v1/usage/current").status_code == 200
    assert not outage.breaker.is_open
    return in_redis_now(customer, time.time_ns() // 1_000_000)


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


class TestLostReply:
    """Redis charged, and nobody knows."""

    def test_the_call_is_charged_once(self, bob: Customer, monkeypatch: Any) -> None:
        assert bob.api.get(TRACE).status_code == 200
        with lost_replies(monkeypatch):
            response = bob.api.get(TRACE)
        assert (response.status_code, response["X-Usage-Cost"]) == (200, "10")
        assert drain.backlog() == {bob.account % 64: 2}, "Redis had charged it as well"
        redis_is_back()
        drain.drain()
        assert sums(bob.account) == {20}
        assert judged_by_redis(bob) == 20

    def test_also_when_the_drain_was_faster(self, bob: Customer, monkeypatch: Any) -> None:
        real = limiter.admit

        def admit_and_drain(*arguments: Any, **named: Any) -> Any:
            real(*arguments, **named)
            drain.drain()
            raise RedisUnreachable("the answer was lost")

        assert bob.api.get(TRACE).status_code == 200
        with monkeypatch.context() as deaf:
            deaf.setattr(limiter, "admit", admit_and_drain)
            first = keyed(bob)
        assert (first.status_code, first["X-Usage-Cost"], "Idempotency-Replayed" in first) == (200, "2", False)
        assert sums(bob.account) == {12}
        assert keyed(bob)["X-Usage-Event"] == first["X-Usage-Event"]
        redis_is_back()
        assert judged_by_redis(bob) == 12

    def test_a_call_refused_without_redis_stays_uncharged(self, bob: Customer, monkeypatch: Any) -> None:
        """Redis has room for it; PostgreSQL, which another process has charged meanwhile, has none."""
        real = limiter.admit
        others = WindowUsage.objects.filter(account_id=bob.account)

        def admit_in_vain(*arguments: Any, **named: Any) -> Any:
            real(*arguments, **named)
            others.update(tokens=495)
            raise RedisUnreachable("the answer was lost")

        assert bob.api.get(TRACE).status_code == 200
        drain.drain()
        with monkeypatch.context() as deaf:
            deaf.setattr(limiter, "admit", admit_in_vain)
            assert bob.api.get(TRACE).status_code == 429
        others.update(tokens=10, revision=F("revision") + 1)
        redis_is_back()
        drain.drain()
        assert sums(bob.account) == {10}
        assert judged_by_redis(bob) == 10
        assert sorted(UsageLog.objects.values_list("kind", "tokens")) == [("charge", 10), ("refused", 0)]
        assert len(bob.api.get("/api/v1/usage/logs").json()["results"]) == 1

    @pytest.mark.parametrize("drained_before", [False, True])
    @pytest.mark.parametrize("times", [1, 2])
    def test_what_is_refused_counts_for_nothing(self, bob: Customer, drained_before: bool, times: int) -> None:
        event = admit(bob).event
        assert event is not None
        if drained_before:
            drain.drain()
        for _ in range(times):  # as when the commit of the first has got no answer
            fallback.record_refusal(event)
        drain.drain()
        assert sums(bob.account) == {0}
        push.push_all()
        assert judged_by_redis(bob) == 0


class TestSettle:
    def test_a_failed_call_is_given_back(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            response = bob.post(TRACE, {"fail": 500})
            assert (response.status_code, response["X-Usage-Cost"], left(response)["quota"]) == (500, "0", 500)
        redis_is_back()
        assert judged_by_redis(bob) == 0
        assert sums(bob.account) == {0}

    def test_redis_goes_while_the_view_works(self, bob: Customer, settings: Any) -> None:
        admission = admit(bob)
        with no_redis(settings):
            voiding.void_failed_call(admission)
        redis_is_back()
        drain.drain()
        assert sums(bob.account) == {0}
        assert judged_by_redis(bob) == 0

    def test_a_tracked_charge_is_voided_once(self, dave: Customer, settings: Any) -> None:
        with no_redis(settings):
            event = dave.post(TRACK, {"feature": "trace_start"}).json()["event"]
            statuses = [dave.api.delete(f"/api/v1/usage/events/{event}").status_code for _ in range(2)]
        redis_is_back()
        statuses.append(dave.api.delete(f"/api/v1/usage/events/{event}").status_code)
        assert statuses == [204, 409, 409]
        assert sums(dave.account) == {0}


class TestKeys:
    def test_a_replay_is_not_charged_again(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            first, second = keyed(bob), keyed(bob)
            assert keyed(bob, {"other": 1}).status_code == 409
        assert ("Idempotency-Replayed" in first, second["Idempotency-Replayed"]) == (False, "true")
        assert (first["X-Usage-Event"], second["X-Usage-Cost"]) == (second["X-Usage-Event"], "0")
        assert sums(bob.account) == {2}

    def test_redis_knows_the_key_when_it_is_back(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            first = keyed(bob)
        redis_is_back()
        again = keyed(bob)
        assert (again["X-Usage-Event"], again["Idempotency-Replayed"]) == (first["X-Usage-Event"], "true")
        assert keyed(bob, {"other": 1}).status_code == 409
        drain.drain()
        assert sums(bob.account) == {2}

    def test_a_key_of_before_is_known_without_redis(self, bob: Customer, settings: Any) -> None:
        first = keyed(bob)
        drain.drain()
        with no_redis(settings):
            problem(keyed(bob), 409, "idempotency_in_progress")  # how it ended only Redis knows
            with after_the_longest_request():
                again = keyed(bob)
        assert (again["X-Usage-Event"], again["Idempotency-Replayed"]) == (first["X-Usage-Event"], "true")

    def test_a_key_of_before_that_nobody_knew_of_is_charged_once_in_the_end(self, bob: Customer, settings: Any) -> None:
        first = keyed(bob)
        with no_redis(settings):
            second = keyed(bob)
        assert first["X-Usage-Event"] != second["X-Usage-Event"], "the drain had not brought the first one"
        redis_is_back()
        drain.drain()
        assert void_second_charges(timezone.now() + longest_request()) == 1
        assert sums(bob.account) == {2}
        assert judged_by_redis(bob) == 2
        kinds = UsageLog.objects.filter(event_id=first["X-Usage-Event"]).values_list("kind", flat=True)
        assert sorted(kinds) == ["charge", "void"]

    def test_a_key_of_a_process_that_has_lost_redis_alone_is_charged_once_in_the_end(
        self, bob: Customer, settings: Any
    ) -> None:
        keyed(bob)
        drain.drain()
        bought = {"Idempotency-Key": "another"}
        with no_redis(settings):
            first = bob.post(SCORE, {}, **bought)
        outage.breaker.is_open = False  # as a process that has kept Redis, to which nothing is published yet
        second = bob.post(SCORE, {}, **bought)
        assert "Idempotency-Replayed" not in second
        drain.drain()
        assert void_second_charges(timezone.now() + longest_request()) == 1
        assert sums(bob.account) == {4}
        events = [first["X-Usage-Event"], second["X-Usage-Event"]]
        kinds = UsageLog.objects.filter(event_id__in=events).values_list("kind", flat=True)
        assert sorted(kinds) == ["charge", "charge", "void"]

    def test_another_request_under_the_same_key_stays_charged(self, bob: Customer, settings: Any) -> None:
        keyed(bob)
        with no_redis(settings):
            keyed(bob, {"other": 1})
        redis_is_back()
        drain.drain()
        assert sums(bob.account) == {4}

    def test_redis_knows_the_key_also_when_the_drain_was_faster(self, bob: Customer, settings: Any) -> None:
        bob.api.get(TRACE)
        with no_redis(settings):
            first = keyed(bob)
        redis_is_back()
        drain.drain()
        assert keyed(bob)["X-Usage-Event"] == first["X-Usage-Event"]

    def test_to_a_redis_that_lost_all_the_key_is_published(self, bob: Customer) -> None:
        first = keyed(bob)
        drain.drain()
        client().flushall()
        problem(keyed(bob), 409, "idempotency_in_progress")
        with after_the_longest_request():
            assert keyed(bob)["X-Usage-Event"] == first["X-Usage-Event"]

    def test_a_failed_call_frees_its_key(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            assert keyed(bob, {"fail": 500}).status_code == 500
            again = keyed(bob, {"fail": 500})
            assert "Idempotency-Replayed" not in again
        assert sums(bob.account) == {0}

    def test_a_failed_replay_makes_no_served_call_free(self, bob: Customer, settings: Any) -> None:
        with no_redis(settings):
            served, failed = (admit(bob, idempotency_key="k", fingerprint=b"f") for _ in range(2))  # type: ignore[arg-type]
            voiding.void_failed_call(failed)
            assert sums(bob.account) == {10}
            voiding.void_failed_call(served)
            assert sums(bob.account) == {0}
            again = admit(bob, idempotency_key="k", fingerprint=b"g")  # type: ignore[arg-type]
        assert (again.admitted, again.replayed) == (True, False)

    def test_a_voided_charge_frees_its_key_for_the_drain_too(self, bob: Customer, settings: Any) -> None:
        keyed(bob, {"fail": 500})
        drain.drain()
        with no_redis(settings):
            assert "Idempotency-Replayed" not in keyed(bob, {"fail": 500})


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
