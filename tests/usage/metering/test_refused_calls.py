"""Refused calls are counted: by day, feature and reason, at no statement of PostgreSQL for the call."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections

from billing.models import LimitOverride
from ratelimit import process_state
from tests.billing.metered import make_metered
from tests.billing.waiting import until
from tests.cast import Customer
from usage.metering import refused_calls
from usage.metering.refused_calls import Kind
from usage.models import RefusedCalls
from usage.reports.refusals import refusals


def refused(customer: Customer) -> list[tuple[str, str, int]]:
    """Of today and the days beside it, as the reports have them."""
    refused_calls.flush()
    today = datetime.now(UTC).date()
    found = refusals(customer.account, today - timedelta(days=1), today + timedelta(days=1))
    return [(each.feature, each.reason, each.calls) for each in found]


@pytest.mark.django_db
class TestReasons:
    def test_each_reason_is_counted_by_feature(self, alice: Customer) -> None:
        for _ in range(2):
            assert alice.api.get("/api/v1/graph/nodes").status_code == 403
        for _ in range(13):
            alice.api.get("/api/v1/usage/current")
        assert refused(alice) == [("", "rate_limited", 3), ("graph_query", "feature_not_in_plan", 2)]

    def test_a_quota_that_is_used_up(self, alice: Customer) -> None:
        LimitOverride.objects.create(account_id=alice.account, limit="quota", maximum=10)
        assert [alice.api.get("/api/v1/trace/start").status_code for _ in range(3)] == [200, 429, 429]
        assert not RefusedCalls.objects.exists(), "they are added later"
        assert refused(alice) == [("trace_start", "quota_exceeded", 2)]

    def test_the_customers_limit_above_the_quota_is_a_reason_of_its_own(self, catalogue: None, customer: Any) -> None:
        make_metered(monthly_token_quota=10, overage_cap_tokens=10, requests_per_minute=100)
        eve = customer("eve", "metered")
        assert [eve.api.get("/api/v1/trace/start").status_code for _ in range(3)] == [200, 200, 429]
        assert refused(eve) == [("trace_start", "overage_cap", 1)]

    def test_calls_of_others_and_calls_that_pass_count_for_nobody(self, alice: Customer, bob: Customer) -> None:
        alice.api.get("/api/v1/graph/nodes")
        assert bob.api.get("/api/v1/graph/nodes").status_code == 200
        assert refused(bob) == []

    def test_a_refusal_costs_no_statement(self, alice: Customer, django_assert_num_queries: Any) -> None:
        alice.api.get("/api/v1/graph/nodes")
        with django_assert_num_queries(0):
            assert alice.api.get("/api/v1/graph/nodes").status_code == 403


@pytest.mark.django_db
class TestAdding:
    def test_what_several_processes_count_adds_up(self, alice: Customer) -> None:
        for _ in range(2):
            process_state.start_anew()
            alice.api.get("/api/v1/graph/nodes")
            refused_calls.flush()
            refused_calls.flush()
        assert refused(alice) == [("graph_query", "feature_not_in_plan", 2)]

    def test_many_kinds_are_added_in_parts(self, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refused_calls, "AT_ONCE", 2)
        day = datetime.now(UTC).date()
        kinds = {Kind(alice.account, day, f"f{n}", "rate_limited"): n for n in range(1, 6)}
        refused_calls._counts.calls.update(kinds)
        assert [calls for _, _, calls in refused(alice)] == [5, 4, 3, 2, 1]

    def test_too_many_kinds_are_lost_and_told(self, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(refused_calls, "MOST", 1)
        before = refused_calls.lost_refusals._value.get()
        for path in ("graph/nodes", "patterns/detect", "graph/nodes"):
            alice.api.get(f"/api/v1/{path}")
        assert refused(alice) == [("graph_query", "feature_not_in_plan", 2)]
        assert refused_calls.lost_refusals._value.get() == before + 1


@pytest.mark.django_db(transaction=True)
class TestFaults:
    def test_without_postgres_they_are_counted_still(self, alice: Customer) -> None:
        alice.api.get("/api/v1/graph/nodes")
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE usage_refusedcalls RENAME TO away")
        try:
            with pytest.raises(Exception, match="usage_refusedcalls"):
                refused_calls.flush()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE away RENAME TO usage_refusedcalls")
        assert refused(alice) == [("graph_query", "feature_not_in_plan", 1)]

    def test_a_thread_adds_them_by_itself_and_ends(
        self, alice: Customer, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.REDIS_PROBE_MS = 50
        monkeypatch.setattr(refused_calls, "SECONDS", 0.01)
        for calls in (1, 2):
            alice.api.get("/api/v1/graph/nodes")
            until(lambda calls=calls: RefusedCalls.objects.filter(calls=calls).exists())  # type: ignore[misc]
            until(lambda: refused_calls._counts.thread is None)

    def test_the_end_of_a_process_adds_the_last(self, alice: Customer, settings: Any) -> None:
        settings.REDIS_PROBE_MS = 50
        alice.api.get("/api/v1/graph/nodes")
        refused_calls.add_the_last()
        assert RefusedCalls.objects.get().calls == 1

    def test_all_of_many_at_once(self, alice: Customer, settings: Any) -> None:
        def work() -> None:
            for _ in range(50):
                alice.api.get("/api/v1/graph/nodes")
                refused_calls.flush()
            connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert refused(alice) == [("graph_query", "feature_not_in_plan", 200)]
