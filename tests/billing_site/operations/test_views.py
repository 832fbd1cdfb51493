"""/health and /metrics, with both engines and without either."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from billing_site.operations.checks.postgres import check_postgres
from ratelimit import store
from ratelimit.keys import stream
from ratelimit.servers import single
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.contract import has_rate_headers
from tests.outages import lose_postgres, redis_gone
from usage.drain import drain
from usage.sync import outage

__all__ = ["lose_postgres", "redis_gone"]


def samples() -> dict[str, float]:
    text = Client().get("/metrics").content.decode()
    return {
        sample.name + "".join(sorted(f"[{value}]" for value in sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.django_db
class TestHealth:
    def test_with_both_engines(self) -> None:
        response = Client().get("/health")
        assert (response.status_code, response.json()) == (
            200,
            {"status": "ok", "parts": {"postgres": "ok", "redis": "ok"}, "degraded": []},
        )
        assert "no-store" in response["Cache-Control"]

    @pytest.mark.parametrize(("mode", "status", "word"), [("fallback", 200, "degraded"), ("refuse", 503, "down")])
    def test_without_redis_postgresql_decides_unless_it_must_not(
        self, mode: str, status: int, word: str, redis_gone: None, settings: Any
    ) -> None:
        settings.WHEN_REDIS_IS_DOWN = mode
        response = Client().get("/health")
        assert (response.status_code, response.json()["degraded"], response.json()["status"]) == (
            status,
            ["redis"],
            word,
        )

    def test_while_the_circuit_is_open_redis_is_not_well(self) -> None:
        outage.breaker.trip(single.RedisUnreachable("no answer"))
        assert Client().get("/health").json()["parts"]["redis"] == "recovering"

    def test_it_is_nobodys_call(self, bob: Customer) -> None:
        for path in ("/health", "/metrics"):
            response = bob.api.get(path)
            assert response.status_code == 200
            assert not has_rate_headers(response)
        assert bob.api.get("/api/v1/usage/current")["X-RateLimit-Remaining"] == "29"


def test_without_postgres_a_process_that_knows_nobody_is_down(lose_postgres: Any) -> None:
    lose_postgres()
    response = Client().get("/health")
    assert (response.status_code, response.json()["status"]) == (503, "down")


@pytest.mark.django_db(transaction=True)
def test_without_postgres_warm_accounts_are_served(bob: Customer, lose_postgres: Any) -> None:
    assert bob.api.get("/api/v1/usage/current").status_code == 200
    lose_postgres()
    assert bob.api.get("/api/v1/risk/score").status_code == 200
    response = Client().get("/health")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "degraded", "parts": {"postgres": "unreachable", "redis": "ok"}, "degraded": ["postgres"]},
    )
    assert samples()["metered_postgres_up"] == 0


@pytest.mark.django_db
class TestMigrations:
    def health(self) -> tuple[int, dict[str, Any]]:
        response = Client().get("/health")
        return response.status_code, response.json()

    def test_one_that_is_missing(self) -> None:
        MigrationRecorder(connection).record_unapplied("usage", "0001_initial")
        assert self.health() == (
            503,
            {"status": "down", "parts": {"postgres": "not migrated", "redis": "ok"}, "degraded": ["postgres"]},
        )
        (message,) = [found for found in check_postgres() if found.id == "billing_site.E015"]
        assert "lacks 1 of" in message.msg and "usage.0001_initial" in message.msg

    def test_one_that_only_newer_code_has(self) -> None:
        MigrationRecorder(connection).record_applied("usage", "9999_later")
        assert self.health()[0] == 200


def test_a_database_that_was_never_migrated_is_down(
    monkeypatch: pytest.MonkeyPatch, django_db_blocker: Any, django_db_setup: None
) -> None:
    with django_db_blocker.unblock():
        connection.close()
        monkeypatch.setitem(connection.settings_dict, "NAME", "postgres")  # there on every server, without tables
        response = Client().get("/health")
        found = [message.id for message in check_postgres()]
        connection.close()
    assert (response.status_code, response.json()["parts"]["postgres"]) == (503, "not migrated")
    assert "billing_site.E015" in found


@pytest.mark.django_db
class TestMetrics:
    def test_decisions_by_outcome(self, alice: Customer) -> None:
        def name(outcome: str) -> str:
            return "metered_decisions_total" + "".join(sorted((f"[{outcome}]", "[community]")))

        before = samples()
        for path in ("trace/start",) * 3 + ("graph/nodes",) * 2:
            alice.api.get(f"/api/v1/{path}")
        headers = {"Idempotency-Key": "k"}
        for path in ("risk/score", "risk/score", "trace/start"):
            alice.api.get(f"/api/v1/{path}", headers=headers)
        for _ in range(7):
            alice.api.get("/api/v1/usage/current")
        after = samples()
        counted = {
            outcome: after[name(outcome)] - before.get(name(outcome), 0)
            for outcome in ("admitted", "feature_not_in_plan", "replayed", "conflict", "refused")
        }
        assert counted == {"admitted": 10, "feature_not_in_plan": 2, "replayed": 1, "conflict": 1, "refused": 1}
        assert after["metered_decision_seconds_count"] - before["metered_decision_seconds_count"] == 15

    def test_what_waits_for_the_drain_and_how_long(self, bob: Customer) -> None:
        assert (samples()["metered_drain_stream_entries"], samples()["metered_drain_lag_seconds"]) == (0, 0)
        for _ in range(3):
            bob.api.get("/api/v1/trace/start")
        assert samples()["metered_drain_stream_entries"] == 3
        entry, _ = store.client().xrange(stream(bob.account % 64), count=1)[0]
        born = int(entry.split(b"-")[0]) / 1000
        with moved_by_hand() as clock:
            clock.move_to(datetime.fromtimestamp(born + 7, UTC))
            assert samples()["metered_drain_lag_seconds"] == pytest.approx(7, abs=0.002)
        drain.drain()
        assert (samples()["metered_drain_stream_entries"], samples()["metered_drain_lag_seconds"]) == (0, 0)

    def test_entries_that_were_set_aside(self, bob: Customer) -> None:
        before = samples()["metered_drain_set_aside_entries"]
        store.client().xadd(stream(1), {"e": b"nonsense"})
        drain.drain()
        assert samples()["metered_drain_set_aside_entries"] == before + 1

    def test_without_redis(self, redis_gone: None) -> None:
        found = samples()
        assert (found["metered_redis_up"], found["metered_postgres_up"]) == (0, 1)
        assert "metered_drain_lag_seconds" not in found

    def test_a_token_guards_them(self, settings: Any) -> None:
        assert Client().get("/metrics").status_code == 200
        settings.METRICS_TOKEN = "secret"
        statuses = [
            Client().get("/metrics", headers=headers).status_code
            for headers in ({}, {"authorization": "Bearer secre"}, {"authorization": "Bearer é"})
        ]
        assert statuses == [401, 401, 401]
        assert Client().get("/metrics", headers={"authorization": "Bearer secret"}).status_code == 200

    def test_several_processes_are_added_up(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(os.environ, "PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        assert samples()["metered_redis_up"] == 1
