"""A process whose clock is wrong bills nothing: PostgreSQL's is compared before a fact is written."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from freezegun import freeze_time

from billing import tasks
from billing.models import BillingPeriod, Invoice, OutboxMessage, Subscription
from billing.postgres.clock import ClockSkewed
from billing_site.local import commandline
from tests.billing.ledger import pay
from tests.cast import Customer, Staff

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def strict(settings: Any) -> None:
    settings.LARGEST_CLOCK_SKEW_SECONDS = 5


def written() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Invoice, BillingPeriod, OutboxMessage))


@pytest.mark.parametrize(("off_seconds", "status"), [(-8, 503), (-3, 200), (0, 200), (3, 200), (8, 503), (86_400, 503)])
def test_an_upgrade_over_http(bob: Customer, off_seconds: int, status: int, caplog: pytest.LogCaptureFixture) -> None:
    before = written()
    with freeze_time(datetime.fromtimestamp(time.time() + off_seconds, UTC)), caplog.at_level(logging.WARNING):
        response = bob.post("/api/v1/billing/upgrade", {"target_plan": "pro"})
    assert response.status_code == status, response.content
    assert (written() == before) is (status == 503)
    said = [record.getMessage() for record in caplog.records if "clock is" in record.getMessage()]
    assert len(said) == (status == 503)


def test_beat_renews_nothing_ahead_and_says_so_in_one_line(bob: Customer, caplog: pytest.LogCaptureFixture) -> None:
    before = written()
    with freeze_time(datetime.now(UTC) + timedelta(days=40)), caplog.at_level(logging.ERROR):
        tasks.apply_due_changes()
    assert written() == before
    (line,) = [record.getMessage() for record in caplog.records]
    assert "ahead of PostgreSQL" in line and "\n" not in line


def test_the_command(bob: Customer, capsys: pytest.CaptureFixture[str]) -> None:
    with freeze_time(datetime.now(UTC) + timedelta(days=40)):
        assert commandline.execute(["manage.py", "apply_downgrades"]) == 1
    assert "ahead of PostgreSQL" in capsys.readouterr().err.splitlines()[-1]


def test_an_instant_that_an_operator_gives_is_no_clock(bob: Customer) -> None:
    call_command("apply_downgrades", at=(datetime.now(UTC) + timedelta(days=40)).isoformat(), verbosity=0)
    assert Subscription.objects.get(account=bob.user).current_period().number == 1


def test_a_first_call_opens_no_subscription_ahead(superuser: Staff, catalogue: None) -> None:
    from billing.subscriptions import opening

    ahead = datetime.now(UTC) + timedelta(days=1)
    with freeze_time(ahead), pytest.raises(ClockSkewed):
        opening.get_or_open_subscription(superuser.user.pk, ahead)
    assert not Subscription.objects.exists()


def test_money_is_recorded_at_no_wrong_instant(bob: Customer) -> None:
    (invoice,) = Invoice.objects.all()
    ahead = datetime.now(UTC) + timedelta(days=1)
    with freeze_time(ahead), pytest.raises(ClockSkewed):
        pay(invoice, invoice.due, ahead, "r")
