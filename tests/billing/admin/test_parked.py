"""Staff find a parked subscription in the admin, see why, and release it."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.test import override_settings
from django.utils import timezone
from freezegun import freeze_time

from billing.models import Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import fresh, invoices
from tests.billing.staff import confirm, confirmation, on_starter_since_october, page, text_of, told
from tests.cast import Staff
from tests.factories import make_subscription

pytestmark = pytest.mark.django_db


@pytest.fixture
def october(catalogue: None) -> Subscription:
    return on_starter_since_october()


@pytest.fixture
def parked(superuser: Staff, october: Subscription) -> Subscription:
    with override_settings(LARGEST_INVOICE=5), freeze_time("2025-11-02"):
        renewal.renew_due(timezone.now())
    return fresh(october)


def test_a_parked_subscription_is_found_and_told_why(superuser: Staff, parked: Subscription) -> None:
    other = make_subscription(Plan.objects.get(code="pro"), timezone.now())
    for chosen, found in (("yes", [parked]), ("no", [other]), ("", [other, parked])):
        listed = superuser.open(f"billing/subscription/?parked={chosen}").context["cl"].result_list
        assert list(listed) == found
    text = text_of(superuser.open(page(parked, "change")))
    assert "1 parked" in text, "in the sidebar"
    assert "is larger than" in text
    assert "release/" in text and "change_plan/" not in text


def test_releasing_shows_what_it_bills_and_bills_that(superuser: Staff, parked: Subscription) -> None:
    with freeze_time("2025-12-02") as clock:
        text = text_of(superuser.open(page(parked, "release")))
        assert "is larger than" in text and text.count("Total 29.00 USD") == 2
        assert len(invoices(parked)) == 1, "nothing is kept"
        clock.tick(30)
        fields = confirmation(text)
        assert "Released. Billed: INV-000002, INV-000003" in told(confirm(superuser, parked, fields, "release"))
        assert "not parked" in told(confirm(superuser, parked, fields, "release"))
        assert "not parked" in told(superuser.client.get(f"/admin/{page(parked, 'release')}", follow=True))
    assert [invoice.total for invoice in invoices(parked)] == [29, 29, 29]
    entry = LogEntry.objects.get()
    assert "It was parked" in entry.change_message and entry.user == superuser.user
    assert "parked</span>" not in text_of(superuser.open("billing/subscription/"))


def test_another_month_that_is_due_by_then_is_shown_first(superuser: Staff, parked: Subscription) -> None:
    with freeze_time("2025-11-30 23:59:59") as clock:
        fields = confirmation(text_of(superuser.open(page(parked, "release"))))
        clock.tick(1)
        again = confirm(superuser, parked, fields, "release")
        assert "was changed since you looked" in told(again)
        assert text_of(again).count("Total 29.00 USD") == 2
    assert fresh(parked).parked_at is not None


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("change_plan", {"target": "pro", "shown_at": "2025-11-02T00:00:00Z"}),
        ("schedule_downgrade", {"target": "community"}),
        ("cancel_scheduled_change", {}),
    ],
)
def test_a_parked_subscription_is_released_before_anything_else(
    superuser: Staff, parked: Subscription, action: str, fields: dict[str, str]
) -> None:
    with freeze_time("2025-11-02"):
        assert "release it first" in told(confirm(superuser, parked, fields, action))
    assert len(invoices(parked)) == 1
