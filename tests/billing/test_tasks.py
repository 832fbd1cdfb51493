"""What beat does for billing, and that it is scheduled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import pytest
from celery.schedules import crontab
from django.db import OperationalError

from billing import tasks
from billing.models import Invoice, Subscription
from billing_site.celery import BEAT_SCHEDULE, app
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db


def test_every_entry_of_the_schedule_is_a_task_that_expires_before_the_next() -> None:
    app.loader.import_default_modules()
    for name, entry in BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name
        every = entry["schedule"]
        seconds = every.total_seconds() if isinstance(every, timedelta) else 3600
        assert isinstance(every, timedelta | crontab)
        assert 0 < int(str(entry["options"]["expires"])) <= seconds, name


def test_periods_are_closed_every_minute() -> None:
    (entry,) = [entry for entry in BEAT_SCHEDULE.values() if entry["task"] == "billing.tasks.apply_due_changes"]
    assert entry["schedule"] == timedelta(minutes=1)


def test_what_is_due_is_applied_at_its_instant_and_once(customer: Callable[..., Customer]) -> None:
    plans = []
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        carol = customer("carol", "pro")
        carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
        for instant in ("2025-10-31T23:59:59.999999Z", "2025-11-01T00:00:00Z", "2025-11-01T00:01:00Z"):
            clock.move_to(instant)
            tasks.apply_due_changes()
            plans.append((Subscription.objects.get().plan.code, Invoice.objects.count()))
    assert plans == [("pro", 1), ("starter", 2), ("starter", 2)]


def test_a_minute_with_nothing_to_do_logs_nothing(bob: Customer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tasks.apply_due_changes()
    assert not [record for record in caplog.records if record.name.startswith("billing")]


def test_a_failure_is_logged_and_does_not_stop_the_others(
    customer: Callable[..., Customer], caplog: pytest.LogCaptureFixture
) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob, carol = customer("bob", "starter"), customer("carol", "pro")
        Subscription.objects.filter(account=bob.account).update(anchor_number=7)  # no period follows the last one
        clock.move_to("2025-11-01T00:00:00Z")
        tasks.apply_due_changes()
    assert Invoice.objects.filter(account=carol.account).count() == 2
    assert "1 subscriptions could not be renewed" in caplog.text


def test_what_fails_in_a_second_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = []

    def lost() -> None:
        raise OperationalError("the server is gone")

    def broken() -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(tasks.push, "sweep", lost)
    monkeypatch.setattr(tasks.dispatcher(), "tick", broken)
    monkeypatch.setattr(tasks.webhook_sender(), "tick", lambda: ran.append("webhooks"))
    with caplog.at_level("ERROR"):
        tasks.every_second()
    assert ran == ["webhooks"]
    assert "sweep_fences waits for PostgreSQL: the server is gone" in caplog.text
    assert "dispatch_outbox has failed" in caplog.text
