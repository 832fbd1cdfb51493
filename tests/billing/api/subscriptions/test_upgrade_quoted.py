"""POST /billing/upgrade with the instant of a preview: what was quoted is billed, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.conf import LazySettings

from billing.invoicing import credit_notes
from billing.models import Invoice, Plan
from tests.billing.api.subscriptions.plan_changes import PREVIEW, refused, upgrade
from tests.billing.sale import lift_minute, priced_long_ago
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db


class TestPreviewed:
    """What the preview says is what the upgrade charges."""

    def test_at_the_same_instant(self, customer: Callable[..., Customer], settings: LazySettings) -> None:
        settings.PRORATION_GRANULARITY = "second"
        seconds = Random(3).sample(range(31 * 86400), 4)
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            customers = [lift_minute(customer(f"bob{second}", "starter")) for second in seconds]
            for second, bob in sorted(zip(seconds, customers, strict=True), key=lambda pair: pair[0]):
                clock.move_to(datetime(2025, 10, 1, tzinfo=UTC) + timedelta(seconds=second))
                quoted = bob.post(PREVIEW, {"target_plan": "pro"}).json()
                assert upgrade(bob, "pro").json()["prorated_amount"] == quoted["prorated_amount"]

    def test_also_after_a_credit_note(self, bob: Customer) -> None:
        (invoice,) = Invoice.objects.filter(account=bob.account)
        credit_notes.credit(invoice, Decimal(20), "goodwill", datetime.now(UTC))
        quoted = bob.post(PREVIEW, {"target_plan": "pro"}).json()
        assert (quoted["credit_from_current"], quoted["prorated_amount"]) == (9, 40)
        assert upgrade(bob, "pro").json()["prorated_amount"] == 40

    def test_a_quote_holds_for_fifteen_minutes_to_the_cent(
        self, customer: Callable[..., Customer], settings: LazySettings
    ) -> None:
        settings.PRORATION_GRANULARITY = "second"
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            customers = [customer(name, "starter") for name in ("bob", "ben", "bea")]
            priced_long_ago()
            clock.move_to("2025-10-16T12:00:00.123456Z")
            quotes = [each.post(PREVIEW, {"target_plan": "enterprise"}).json() for each in customers]
            waits = (
                timedelta(minutes=15, microseconds=-1),
                timedelta(minutes=15),
                timedelta(minutes=15, microseconds=1),
            )
            statuses = []
            for each, quote, wait in zip(customers, quotes, waits, strict=True):
                clock.move_to(datetime(2025, 10, 16, 12, 0, 0, 123456, tzinfo=UTC) + wait)
                response = upgrade(each, "enterprise", quoted_at=quote["at"])
                statuses.append(response.status_code)
                if response.status_code == 200:
                    assert response.json()["prorated_amount"] == quote["prorated_amount"]
            refused(response, 409, "quote_expired")
            later = customers[2].post(PREVIEW, {"target_plan": "enterprise"}).json()
        assert statuses == [200, 200, 409]
        assert later["prorated_amount"] != quotes[2]["prorated_amount"]

    def test_a_quote_of_yesterday_holds_just_after_midnight(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            priced_long_ago()
            clock.move_to("2025-10-16T23:59:00Z")
            quote = bob.post(PREVIEW, {"target_plan": "pro"}).json()
            clock.move_to("2025-10-17T00:05:00Z")
            assert bob.post(PREVIEW, {"target_plan": "pro"}).json()["prorated_amount"] != quote["prorated_amount"]
            response = upgrade(bob, "pro", quoted_at=quote["at"])
        assert response.json()["prorated_amount"] == quote["prorated_amount"]

    def test_a_quote_in_the_future(self, bob: Customer) -> None:
        soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
        refused(upgrade(bob, "pro", quoted_at=soon), 409, "quote_expired")

    def test_a_price_that_was_changed_since(self, bob: Customer) -> None:
        quote = bob.post(PREVIEW, {"target_plan": "pro"}).json()
        pro = Plan.objects.get(code="pro")
        pro.price = Decimal(59)
        pro.save()
        refused(upgrade(bob, "pro", quoted_at=quote["at"]), 409, "quote_expired")
        assert upgrade(bob, "pro").json()["prorated_amount"] == 30

    def test_a_subscription_that_was_changed_since(self, bob: Customer) -> None:
        quote = bob.post(PREVIEW, {"target_plan": "business"}).json()
        upgrade(bob, "pro")
        refused(upgrade(bob, "business", quoted_at=quote["at"]), 409, "quote_expired")

    def test_a_period_that_ended_since(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            priced_long_ago()
            clock.move_to("2025-10-31T23:59:59Z")
            quote = bob.post(PREVIEW, {"target_plan": "pro"}).json()
            clock.move_to("2025-11-01T00:00:00Z")
            refused(upgrade(bob, "pro", quoted_at=quote["at"]), 409, "quote_expired")

    def test_with_a_late_beat_a_quote_for_the_scheduled_plan_holds(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            carol = customer("carol", "pro")
            priced_long_ago()
            carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
            before = carol.post(PREVIEW, {"target_plan": "business"}).json()
            clock.move_to("2025-11-01T00:00:10Z")
            quote = carol.post(PREVIEW, {"target_plan": "pro"}).json()
            clock.move_to("2025-11-01T00:00:20Z")
            refused(upgrade(carol, "pro", quoted_at=before["at"]), 409, "quote_expired")
            assert upgrade(carol, "pro", quoted_at=quote["at"]).json()["prorated_amount"] == quote["prorated_amount"]

    def test_what_is_no_time_is_no_quote(self, bob: Customer) -> None:
        for quoted_at in (None, 7, True, "", "2025-10-16", "2025-10-16T12:00:00", [], "yesterday"):
            body = refused(upgrade(bob, "pro", quoted_at=quoted_at), 400, "invalid")
            assert list(body["errors"]) == ["quoted_at"]
