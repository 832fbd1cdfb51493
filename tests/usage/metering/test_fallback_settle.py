"""Charges whose answer was lost, and charges taken back, while Redis is out of reach."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F

from billing.fence import push
from ratelimit import limiter
from ratelimit.servers.single import RedisUnreachable
from tests.cast import Customer
from tests.contract import left
from tests.outages import lost_replies, no_redis
from tests.usage.histories import admit, sums
from tests.usage.without_redis import (
    TRACE,
    TRACK,
    judged_by_redis,
    keyed,
    one_process,
    redis_is_back,
)
from usage.drain import drain
from usage.metering import fallback_charge, voiding
from usage.models import UsageLog, WindowUsage

__all__ = ["one_process"]
pytestmark = pytest.mark.django_db


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
            fallback_charge.record_refusal(event)
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
