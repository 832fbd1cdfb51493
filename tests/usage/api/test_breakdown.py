"""GET /usage/breakdown: tokens by feature, and a total that equals what /usage/current says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import problem
from tests.outages import lose_postgres, redis_gone
from usage.drain import batch, drain

__all__ = ["lose_postgres", "redis_gone"]
BREAKDOWN = "/api/v1/usage/breakdown"


@pytest.mark.django_db
class TestBreakdown:
    def test_it_includes_every_call_answered_before(self, dave: Customer) -> None:
        for feature in ("trace_start",) * 5 + ("ai_agent_query",) * 5 + ("graph_query",) * 5:
            assert dave.post("/api/v1/usage/track", {"feature": feature}).status_code == 200
            breakdown, current = dave.api.get(BREAKDOWN).json(), dave.api.get("/api/v1/usage/current").json()
            assert breakdown["total"] == current["tokens_used"] == sum(breakdown.values()) - breakdown["total"]
        assert breakdown == {"trace_start": 50, "ai_agent_query": 25, "graph_query": 15, "total": 90}

    def test_nothing_used_is_a_total_of_nothing(self, alice: Customer) -> None:
        assert alice.api.get(BREAKDOWN).json() == {"total": 0}

    def test_what_was_given_back_is_not_in_it(self, dave: Customer) -> None:
        dave.api.get("/api/v1/trace/start?fail=500")
        event = dave.post("/api/v1/usage/track", {"feature": "risk_score"}).json()["event"]
        dave.api.delete(f"/api/v1/usage/events/{event}")
        dave.api.get("/api/v1/trace/expand")
        assert dave.api.get(BREAKDOWN).json() == {"trace_expand": 5, "total": 5}

    def test_it_is_of_this_window(self, bob: Customer) -> None:
        with moved_by_hand("2031-03-31T23:59:59Z") as clock:
            bob.api.get("/api/v1/trace/start")
            clock.tick(1)
            bob.api.get("/api/v1/risk/score")
            assert bob.api.get(BREAKDOWN).json() == {"risk_score": 2, "total": 2}

    def test_nobody_sees_anothers(self, alice: Customer, bob: Customer) -> None:
        bob.api.get("/api/v1/trace/start")
        assert alice.api.get(BREAKDOWN).json() == {"total": 0}

    def test_when_the_drain_is_stuck_it_is_unavailable(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        bob.api.get("/api/v1/trace/start")
        monkeypatch.setattr(drain, "CATCH_UP_SECONDS", 0.0)
        monkeypatch.setattr(batch, "BATCH", 0)
        response = bob.api.get(BREAKDOWN)
        problem(response, 503, "unavailable")
        assert response["Retry-After"] == "1"


@pytest.mark.django_db
def test_without_redis_it_says_what_postgresql_knows(bob: Customer, redis_gone: None) -> None:
    assert bob.api.get(BREAKDOWN).json() == {"total": 0}


@pytest.mark.django_db(transaction=True)
def test_without_postgres_it_is_unavailable_and_other_calls_are_served(bob: Customer, lose_postgres: Any) -> None:
    bob.api.get(BREAKDOWN)
    lose_postgres()
    response = bob.api.get(BREAKDOWN)
    problem(response, 503, "unavailable")
    assert response["Retry-After"] == "1"
    assert bob.api.get("/api/v1/trace/start")["X-Usage-Cost"] == "10"
    assert bob.api.get("/api/v1/trace/start?fail=500")["X-Usage-Cost"] == "0"
    assert bob.api.get("/api/v1/usage/current").json()["tokens_used"] == 10


@pytest.mark.django_db(transaction=True)
def test_it_holds_beside_calls_and_drains_at_once(erin: Customer) -> None:
    """Each thread's own calls are in what it reads afterwards, whoever drained them."""

    def caller(number: int) -> list[int]:
        api = Client(headers={"authorization": f"Bearer {erin.key}"})
        try:
            totals = []
            for _ in range(6):
                api.get("/api/v1/risk/score")
                totals.append(api.get(BREAKDOWN).json()["total"])
            return totals
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as threads:
        runs: list[Any] = list(threads.map(caller, range(6)))
    for totals in runs:
        assert totals == sorted(totals)
        assert all(total >= 2 * made for made, total in enumerate(totals, 1))
    assert erin.api.get(BREAKDOWN).json()["total"] == 72
