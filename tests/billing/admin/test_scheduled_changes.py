"""Staff schedule a downgrade in the admin and cancel it; who may act on a subscription, and what is left behind."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone
from freezegun import freeze_time

from billing.invoicing import credit_notes
from billing.models import Plan, Subscription
from tests.billing.ledger import fresh, invoices
from tests.billing.staff import IN_USE, USE_UNKNOWN, confirm, on_starter_since_october, page, shown, text_of, told
from tests.cast import Staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def october(catalogue: None) -> Subscription:
    return on_starter_since_october()


def test_a_downgrade_is_scheduled_replaced_and_cancelled(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        confirm(superuser, october, shown(superuser, october, "business"))
        text = text_of(superuser.open(page(october, "schedule_downgrade")))
        assert re.findall(r'name="target" value="(\w+)"', text) == ["community", "starter", "pro"]
        for code in ("starter", "community"):
            answer = confirm(superuser, october, {"target": code}, "schedule_downgrade")
            assert "scheduled for 2025-11-01 00:00:00 UTC" in told(answer)
            assert fresh(october).scheduled_plan == Plan.objects.get(code=code)
        answer = confirm(superuser, october, {}, "cancel_scheduled_change")
        assert "Scheduled change to Community cancelled" in told(answer)
        assert fresh(october).scheduled_plan is None
        answer = confirm(superuser, october, {}, "cancel_scheduled_change")
        assert "No change is scheduled" in told(answer)
    assert LogEntry.objects.count() == 4
    assert fresh(october).plan.code == "business"


def test_a_capability_in_active_use_blocks_a_downgrade_and_says_so(
    superuser: Staff, october: Subscription, settings: Any
) -> None:
    settings.BILLING_ACTIVE_FEATURES = IN_USE
    with freeze_time("2025-10-16"):
        text = text_of(superuser.open(page(october, "schedule_downgrade")))
        assert "Blocked: in active use investigator" in text
        assert 'name="target"' not in text
        answer = confirm(superuser, october, {"target": "community"}, "schedule_downgrade")
        assert "Cannot downgrade. Active features: investigator" in told(answer)
    assert fresh(october).scheduled_plan is None
    assert not LogEntry.objects.exists()


def test_without_the_usage_log_nothing_is_scheduled(superuser: Staff, october: Subscription, settings: Any) -> None:
    settings.BILLING_ACTIVE_FEATURES = USE_UNKNOWN
    with freeze_time("2025-10-16"):
        answer = confirm(superuser, october, {"target": "community"}, "schedule_downgrade")
        assert "cannot be told at the moment" in told(answer)
        text = text_of(superuser.open(f"{page(october, 'change_plan')}?target=community"))
        assert "cannot be told at the moment" in text, "to change now is still possible, knowing that"
    assert fresh(october).scheduled_plan is None


@pytest.mark.parametrize(
    ("code", "message"),
    [("pro", "not a downgrade"), ("starter", "not a downgrade"), ("", "No such plan"), ("x", "No such")],
)
def test_what_is_no_lower_plan_is_refused(superuser: Staff, october: Subscription, code: str, message: str) -> None:
    with freeze_time("2025-10-16"):
        assert message in told(confirm(superuser, october, {"target": code}, "schedule_downgrade"))
    assert fresh(october).scheduled_plan is None


def test_a_credit_note_begins_at_an_invoice_that_can_be_credited(clerk: Staff, october: Subscription) -> None:
    clerk.may("billing.change_subscription")
    assert clerk.open(page(october, "credit")).status_code == 403
    clerk.may("billing.change_invoice")
    assert "credit/" in text_of(clerk.open(page(october, "change")))
    (invoice,) = invoices(october)
    assert f"billing/invoice/{invoice.pk}/credit/" in text_of(clerk.open(page(october, "credit")))
    credit_notes.credit(invoice, invoice.total, "all of it", timezone.now())
    assert "Nothing that was billed is left" in text_of(clerk.open(page(october, "credit")))


ACTIONS = ["change_plan", "schedule_downgrade", "cancel_scheduled_change", "release"]


@pytest.mark.parametrize("action", ACTIONS)
def test_only_staff_who_may_change_subscriptions_act(clerk: Staff, october: Subscription, action: str) -> None:
    assert clerk.send(page(october, action), target="pro").status_code == 403
    clerk.may("billing.view_subscription")
    text = text_of(clerk.open(page(october, "change")))
    assert not any(f"{each}/" in text for each in ACTIONS)
    assert clerk.open(page(october, action)).status_code == 403
    assert clerk.send(page(october, action), target="pro").status_code == 403
    clerk.may("billing.change_subscription")
    assert clerk.open(page(october, action)).status_code in (200, 302)
    assert "change_plan/" in text_of(clerk.open(page(october, "change")))


def test_a_confirmation_from_another_site_is_refused(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        fields = shown(superuser, october, "pro")
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(superuser.user)
        assert strict.post(f"/admin/{page(october, 'change_plan')}", fields).status_code == 403
    assert len(invoices(october)) == 1


def test_a_log_entry_says_who_changed_what(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        confirm(superuser, october, shown(superuser, october, "pro"))
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (superuser.user, str(october.pk))
    assert "Changed from Starter to Pro" in entry.change_message
    assert "Changed from Starter to Pro" in text_of(superuser.open(page(october, "history")))


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("number", ["0", "x", "9" * 30])
def test_there_is_nothing_to_do_on_what_is_not_there(superuser: Staff, db: None, action: str, number: str) -> None:
    answer = superuser.send(f"billing/subscription/{number}/{action}/", target="pro")
    assert answer.status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
def test_a_subscription_that_ended_is_only_looked_at(superuser: Staff, october: Subscription, action: str) -> None:
    october.status, october.ended_at = Subscription.Status.CANCELED, timezone.now()
    october.save()
    assert f"{action}/" not in text_of(superuser.open(page(october, "change")))
    assert superuser.send(page(october, action), target="pro").status_code == 404
    assert Subscription.objects.count() == 1, "looking opens none"


def test_the_page_shows_how_the_subscription_stands(superuser: Staff, october: Subscription) -> None:
    with freeze_time("2025-10-16"):
        confirm(superuser, october, shown(superuser, october, "community"))
        text = text_of(superuser.open(page(october, "change")))
    assert "Community, 2025-10-01 00:00:00 to 2025-11-01 00:00:00" in text
    assert "14.97 USD" in text and "0.00 USD" in text
    assert "INV-000001" in text and "INV-000002" in text
    with freeze_time("2025-12-24"):
        assert "(its close is late)" in text_of(superuser.open(page(october, "change")))
