"""Over HTTP: a plan of a longer interval now, and what can only follow at the period's end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from billing.models import Invoice
from tests.billing.api.subscriptions.plan_changes import PREVIEW, SUBSCRIPTION, UPGRADE, refused
from tests.billing.sale import priced_long_ago, sell
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
DOWNGRADE = "/api/v1/billing/downgrade"


def test_a_year_is_bought_as_it_was_previewed(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        sell("yearly", "490", interval="year")
        priced_long_ago()
        clock.move_to("2025-10-16T09:30:00Z")
        quote = bob.post(PREVIEW, {"target_plan": "yearly"}).json()
        clock.tick(60)
        answer = bob.post(UPGRADE, {"target_plan": "yearly", "quoted_at": quote["at"]}).json()
        shown = bob.api.get(SUBSCRIPTION).json()
    assert answer["prorated_amount"] == quote["prorated_amount"] == 475.03
    assert (answer["current_period_start"], answer["current_period_end"]) == (
        "2025-10-16T09:31:00Z",
        "2026-10-16T09:31:00Z",
    )
    assert (shown["plan"], shown["period_price"], shown["current_period_end"]) == (
        "yearly",
        490,
        "2026-10-16T09:31:00Z",
    )
    invoice = bob.api.get(f"/api/v1/billing/invoices/{answer['invoice']}").json()
    assert [(line["amount"], line["period_end"]) for line in invoice["lines"]] == [
        (-14.97, "2025-11-01T00:00:00Z"),
        (490, "2026-10-16T09:31:00Z"),
    ]


@pytest.mark.parametrize("terms", [{"interval": "month"}, {"currency": "EUR", "interval": "year"}])
def test_what_can_only_follow_is_scheduled_whatever_its_rank(
    customer: Callable[..., Customer], terms: dict[str, str]
) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z"):
        bob = customer("bob", "starter")
        sell("yearly", "490", interval="year")
        sell("other", "90", rank=900, **terms)
        assert bob.post(UPGRADE, {"target_plan": "yearly"}).status_code == 200
        body = refused(bob.post(UPGRADE, {"target_plan": "other"}), 400, "invalid")
        assert "POST /api/v1/billing/downgrade" in body["errors"]["target_plan"][0]
        refused(bob.post(PREVIEW, {"target_plan": "other"}), 400, "invalid")
        answer = bob.post(DOWNGRADE, {"target_plan": "other"}).json()
        shown = bob.api.get(SUBSCRIPTION).json()
    assert (answer["effective_date"], answer["days_until_downgrade"]) == ("2026-10-01", 365)
    assert (shown["scheduled_plan"], shown["scheduled_plan_date"]) == ("other", "2026-10-01")
    assert Invoice.objects.filter(account=bob.user).count() == 2
