"""What the renewal does not do: fail for all because of one, overlap, or let out an invoice that looks wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from freezegun import freeze_time

from billing.models import BillingPeriod, Invoice, Plan, Subscription
from billing.subscriptions.period_end import releasing, renewal
from billing.subscriptions.period_end.report import RenewalReport
from tests.billing.ledger import assert_explained, assert_tiled, fresh, invoices, schedule
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, END = at("2025-10-01"), at("2025-11-01")
MICROSECOND = timedelta(microseconds=1)


class TestFailures:
    def test_one_that_fails_stops_no_other_and_is_reported(self, low: Plan, high: Plan, monkeypatch: Any) -> None:
        monkeypatch.setattr(renewal, "BATCH", 4)
        customers = [make_subscription(low if n % 2 else high, START) for n in range(10)]
        faulty = customers[5]
        # The exclusion constraint will refuse its next period: another one lies there already.
        BillingPeriod.objects.create(
            subscription=faulty,
            number=7,
            starts_at=at("2025-11-10"),
            ends_at=at("2025-11-11"),
            plan=low,
            price=31,
            currency="USD",
        )
        steps: list[int] = []
        done = renewal.renew_due(END, steps.append)
        assert (done.renewed, list(done.failed)) == (9, [faulty.pk])
        assert "period_no_overlap" in done.failed[faulty.pk]
        assert sum(steps) == 10
        for subscription in customers:
            assert len(invoices(subscription)) == (1 if subscription == faulty else 2)
        numbers = sorted(Invoice.objects.values_list("number", flat=True), key=str)
        assert numbers == [f"INV-{n:06d}" for n in range(1, 20)]
        assert renewal.renew_due(END) == RenewalReport(failed=done.failed)

    def test_an_amount_that_its_currency_cannot_express_is_reported(self, low: Plan, high: Plan) -> None:
        sound, faulty = make_subscription(high, START), make_subscription(low, START)
        Plan.objects.filter(pk=low.pk).update(price="31.005")
        done = renewal.renew_due(END)
        assert (done.renewed, list(done.failed)) == (1, [faulty.pk])
        assert "more decimals than the 2 of USD" in done.failed[faulty.pk]
        assert len(invoices(sound)) == 2

    def test_a_period_that_would_leave_a_gap_is_not_opened(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        Subscription.objects.filter(pk=subscription.pk).update(anchor=at("2025-10-02"))
        assert "not where the last one ended" in renewal.renew_due(END).failed[subscription.pk]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"number": 0, "starts_at": END, "ends_at": at("2025-12-01")},
            {"number": 1, "starts_at": END - MICROSECOND, "ends_at": at("2025-12-01")},
            {"number": 1, "starts_at": END, "ends_at": END},
            {"number": 1, "starts_at": END, "ends_at": at("2025-12-01"), "price": -1},
        ],
    )
    def test_the_database_refuses_periods_that_overlap(self, low: Plan, wrong: dict[str, Any]) -> None:
        subscription = make_subscription(low, START)
        with pytest.raises(DatabaseError), transaction.atomic():
            BillingPeriod.objects.create(
                **{"subscription": subscription, "plan": low, "price": 31, "currency": "USD"} | wrong
            )


class TestParking:
    def park(self, subscription: Subscription, now: datetime = END) -> str:
        done = renewal.renew_due(now)
        assert (done.parked, done.failed) == ([subscription.pk], {})
        assert len(invoices(subscription)) == 1
        assert renewal.renew_due(now) == RenewalReport()
        return fresh(subscription).parked_because

    @pytest.mark.parametrize(
        ("currency", "fits", "too_much"),
        [("USD", "100", "100.01"), ("JPY", "10000", "10001"), ("KWD", "100.000", "100.001")],
    )
    def test_at_the_bound_it_goes_out_above_it_waits(
        self, settings: Any, currency: str, fits: str, too_much: str
    ) -> None:
        """Where a currency has no minor unit, its unit is about as small as a cent."""
        settings.LARGEST_INVOICE = 100
        subscription = make_subscription(make_plan("fits", fits, currency=currency), START)
        assert renewal.renew_due(END).invoices == 1
        Plan.objects.update(price=money(too_much))
        assert renewal.renew_due(at("2025-12-01")).parked == [subscription.pk]
        assert "larger than" in fresh(subscription).parked_because

    def test_a_negative_base_price_waits(self, low: Plan) -> None:
        subscription = make_subscription(low, START)
        low.history.update(price=-1, history_date=START)
        Plan.objects.filter(pk=low.pk).update(priced_at=at("2026-01-01"))
        assert self.park(subscription) == "a base price is negative"

    def test_more_invoices_than_so_many_in_a_day_wait(self, low: Plan, settings: Any) -> None:
        settings.MOST_INVOICES_A_DAY = 3
        patient, late = make_subscription(low, START), make_subscription(low, at("2025-09-01"))
        done = renewal.renew_due(at("2026-01-01"))  # three periods, and four
        assert (done.parked, done.invoices) == ([late.pk], 3)
        assert "more than 3 invoices in a day" in fresh(late).parked_because
        assert_tiled(patient)

    def test_one_that_is_released_catches_up_at_the_prices_of_then(self, low: Plan, high: Plan, settings: Any) -> None:
        settings.LARGEST_INVOICE = 92
        subscription = make_subscription(low, START)
        schedule(subscription, high)
        with freeze_time("2025-10-01"):
            high.save()
        self.park(subscription)
        with freeze_time("2025-11-20"):
            high.price = money(120)
            high.save()
        done = releasing.release(fresh(subscription), at("2025-12-05"))
        assert (done.renewed, done.changed, done.periods, done.invoices) == (1, 1, 2, 2)
        live = fresh(subscription)
        assert (live.parked_at, live.parked_because, live.plan) == (None, "", high)
        assert [invoice.total for invoice in invoices(subscription)] == [31, 93, 120]
        assert_tiled(subscription)
        assert_explained(subscription)

    def test_one_that_was_released_may_be_parked_again(self, low: Plan, settings: Any) -> None:
        subscription = make_subscription(low, START)
        settings.LARGEST_INVOICE = 30
        self.park(subscription)
        releasing.release(subscription, END)
        assert renewal.renew_due(END) == RenewalReport()
        assert renewal.renew_due(at("2025-12-01")).parked == [subscription.pk]
