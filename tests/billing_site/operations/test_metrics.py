"""/metrics: what is counted, and how the close, mails, reservations, beat and the last reconciliation are."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from billing import tasks as billing_tasks
from billing.models import OutboxMessage, SentMail, Subscription
from billing.outbox import retention
from billing_site import tasks as site_tasks
from billing_site.operations import metrics
from tests.billing_site.operations.test_views import samples
from tests.cast import Customer
from tests.outages import redis_gone
from tests.usage.drifting import spend
from usage import tasks
from usage.models import FeatureUsage, Reconciliation, RedisOutage, Reservation
from usage.reconciliation import reconcile

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
AN_HOUR = timedelta(hours=1)


def names() -> set[str]:
    """Every series' name that /metrics has, but Python's own."""
    text = Client().get("/metrics").content.decode()
    found = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    return {name for name in found if not name.startswith(("python_", "process_"))}


def test_every_name_is_ours() -> None:
    assert {name for name in names() if not name.startswith("metered_")} == set()


class TestDecisions:
    def test_by_plan(self, alice: Customer, bob: Customer) -> None:
        before = samples()
        for customer, calls in ((alice, 2), (bob, 3)):
            for _ in range(calls):
                customer.api.get("/api/v1/usage/current")
        after = samples()
        told = {
            plan: after[name] - before.get(name, 0)
            for plan in ("community", "starter")
            if (name := f"metered_decisions_total[admitted][{plan}]")
        }
        assert told == {"community": 2, "starter": 3}

    def test_of_who_is_not_identified(self, catalogue: None) -> None:
        before = samples()["metered_decisions_total[][unauthenticated]"]
        Client().get("/api/v1/usage/current")
        Client().get("/api/v1/usage/current", headers={"authorization": "Bearer nobody"})
        assert samples()["metered_decisions_total[][unauthenticated]"] == before + 2

    def test_that_could_not_be_made(self, bob: Customer, settings: Any, redis_gone: None) -> None:
        settings.WHEN_REDIS_IS_DOWN = "refuse"
        before = samples()["metered_decisions_total[][unavailable]"]
        assert bob.api.get("/api/v1/trace/start").status_code == 503
        assert samples()["metered_decisions_total[][unavailable]"] == before + 1

    def test_plans_beyond_the_bound_share_a_label(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(metrics, "_of_plan", {})
        monkeypatch.setattr(metrics, "MOST_PLANS", 0)
        before = samples().get("metered_decisions_total[admitted][other]", 0)
        bob.api.get("/api/v1/usage/current")
        assert samples()["metered_decisions_total[admitted][other]"] == before + 1


class TestClosing:
    def test_what_is_due_done_and_parked(self, bob: Customer) -> None:
        found = samples()
        assert [found[f"metered_closes_{name}"] for name in ("due", "oldest_due_seconds", "parked")] == [0, 0, 0]
        Subscription.objects.filter(account=bob.account).update(parked_at=timezone.now())
        assert samples()["metered_closes_parked"] == 1
        Subscription.objects.filter(account=bob.account).update(parked_at=None)
        ends = Subscription.objects.get(account=bob.account).period_ends_at
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(timezone, "now", lambda: ends + AN_HOUR)
            late = samples()
            billing_tasks.apply_due_changes()
            done = samples()
        assert (late["metered_closes_due"], late["metered_closes_oldest_due_seconds"]) == (1, 3600)
        assert (done["metered_closes_due"], done["metered_closes_total[renewed]"]) == (0, 1)


class TestFallback:
    def test_since_when_it_goes_on(self) -> None:
        found = samples()
        assert (found["metered_fallback"], found["metered_fallback_since_timestamp_seconds"]) == (0, 0)
        began = timezone.now() - AN_HOUR
        RedisOutage.objects.create(began_at=began, seen_at=began)
        found = samples()
        since = found["metered_fallback_since_timestamp_seconds"]
        assert (found["metered_fallback"], since) == (1, pytest.approx(began.timestamp()))


class TestMails:
    def test_those_that_fail_and_those_given_up_today(self, bob: Customer) -> None:
        now = timezone.now()
        rows = [
            {"sent_at": now},
            {"error": "refused"},
            {"error": "refused", "given_up_at": now - AN_HOUR},
            {"error": "refused", "given_up_at": now - timedelta(days=2)},
        ]
        for number, row in enumerate(rows):
            SentMail.objects.create(account=bob.user, message_id=number, kind="x", first_tried_at=now, **row)
        found = samples()
        assert (found["metered_mails_failing"], found["metered_mails_given_up_last_day"]) == (1, 1)


class TestReservations:
    def test_those_that_are_open_and_those_that_expired_today(self, bob: Customer) -> None:
        now = timezone.now()
        states = [("open", None, None), ("expired", now - AN_HOUR, 7), ("expired", now - timedelta(days=2), 9)]
        for number, (state, finished_at, uncollected) in enumerate(states):
            Reservation.objects.create(
                id=f"019ab0c4-7f2e-7cc3-98c4-00000000000{number}",
                account=bob.user,
                feature="ai_agent_query",
                bound=10,
                state=state,
                uncollected=uncollected,
                opened_at=now - timedelta(days=3),
                expires_at=now,
                finished_at=finished_at,
            )
        found = samples()
        assert (found["metered_reservations_open"], found["metered_reservations_expired_last_day"]) == (1, 1)
        assert found["metered_tokens_uncollected_last_day"] == 7


def test_when_beat_did_something_last() -> None:
    assert samples()["metered_last_beat_timestamp_seconds"] == 0
    site_tasks.note_beat()
    assert samples()["metered_last_beat_timestamp_seconds"] == pytest.approx(timezone.now().timestamp(), abs=60)


def test_subscriptions_are_counted_once_a_minute(bob: Customer) -> None:
    cache.clear()
    assert samples()["metered_subscriptions[active]"] == 1
    Subscription.objects.filter(account=bob.account).update(status="canceled", ended_at=timezone.now())
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert samples()["metered_subscriptions[active]"] == 1
    assert [query["sql"] for query in asked if "GROUP BY" in query["sql"] and "subscription" in query["sql"]] == []


def test_a_backlog_is_counted_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "COUNTED", 3)
    OutboxMessage.objects.bulk_create(
        OutboxMessage(account_id=1, kind="x", payload={}, recorded_at=timezone.now()) for _ in range(5)
    )
    (backlog,) = retention.backlogs(["log"])
    assert backlog.messages == 3


def test_accounts_that_drift_until_they_are_repaired(bob: Customer) -> None:
    spend(bob, 1)
    assert "metered_reconcile_drifting_accounts" not in samples()
    FeatureUsage.objects.update(tokens=11)
    tasks.reconcile_usage()
    found = samples()
    assert found["metered_reconcile_drifting_accounts"] == 1
    finished = Reconciliation.objects.get().finished_at.timestamp()
    assert found["metered_reconcile_finished_timestamp_seconds"] == pytest.approx(finished)
    reconcile.reconcile(timezone.now(), lambda _: None, repairing=True)
    assert samples()["metered_reconcile_drifting_accounts"] == 0
