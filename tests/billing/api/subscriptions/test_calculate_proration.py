"""POST /billing/calculate-proration, and calculate_proration beneath it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.conf import LazySettings

from billing.models import BillingPeriod, Fence, Invoice, Plan, Subscription
from billing.subscriptions import opening
from billing.subscriptions.period_end import renewal
from billing.subscriptions.previews import InvalidCycle, calculate_proration
from tests.billing.api.subscriptions.plan_changes import PREVIEW, errors, preview
from tests.billing.sale import sell
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
OCTOBER = {"billing_cycle_start": "2025-10-01", "billing_cycle_end": "2025-10-31"}


def test_the_contracts_example(bob: Customer) -> None:
    with moved_by_hand("2025-10-16T09:30:00Z"):
        response = preview(bob, current_plan="starter", target_plan="pro", **OCTOBER)
    assert response.status_code == 200
    assert response.content == (
        b'{"prorated_amount":10.00,"days_remaining":15,"days_total":30,"current_plan_cost":29.00,'
        b'"target_plan_cost":49.00,"credit_from_current":14.50,"charge_for_target":24.50,"currency":"USD",'
        b'"direction":"upgrade","at":"2025-10-16T09:30:00Z","trial_ends_at":null,"discount":null,"coupon":null,'
        b'"tax":0.00,"amount_due":10.00}'
    )


WHAT_IF = [
    ("2025-09-30", 30, "20.00"),
    ("2025-10-01", 30, "20.00"),
    ("2025-10-02", 29, "19.34"),
    ("2025-10-16", 15, "10.00"),
    ("2025-10-16T23:59:59.999999Z", 15, "10.00"),
    ("2025-10-17T01:00:00+02:00", 15, "10.00"),
    ("2025-10-30T23:59:59Z", 1, "0.66"),
    ("2025-10-31T00:00:00Z", 0, "0.00"),
    ("2026-01-01", 0, "0.00"),
]


def test_what_if_then(bob: Customer) -> None:
    for at, days, amount in WHAT_IF:
        response = preview(bob, current_plan="starter", target_plan="pro", at=at, **OCTOBER)
        shown = json.loads(response.content, parse_float=Decimal)
        assert (at, shown["days_remaining"], str(shown["prorated_amount"])) == (at, days, amount)
        assert shown["prorated_amount"] == shown["charge_for_target"] - shown["credit_from_current"]


class TestWhatIfInAnotherPeriod:
    """`at` names the period as well: the change would fall into the one of that instant, on the plan of then."""

    def amounts(self, customer: Customer, target: str, at: str) -> tuple[Any, ...]:
        shown = preview(customer, target_plan=target, at=at).json()
        return shown["days_remaining"], shown["days_total"], shown["prorated_amount"], shown["direction"]

    def test_in_the_next_period(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z"):
            bob = customer("bob", "starter")
            assert self.amounts(bob, "pro", "2025-10-31T23:59:59.999999Z") == (1, 31, 0.64, "upgrade")
            assert self.amounts(bob, "pro", "2025-11-01") == (30, 30, 20, "upgrade")
            assert self.amounts(bob, "pro", "2025-11-16") == (15, 30, 10, "upgrade")
            assert self.amounts(bob, "pro", "2028-02-29") == (1, 29, 0.69, "upgrade")

    def test_on_the_scheduled_plan(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z"):
            carol = customer("carol", "pro")
            carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
            assert self.amounts(carol, "pro", "2025-10-31") == (1, 31, 0, "same")
            assert self.amounts(carol, "pro", "2025-11-16") == (15, 30, 10, "upgrade")

    def test_in_a_period_that_is_over(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            clock.move_to("2025-12-01T00:00:00Z")
            renewal.renew_due(datetime(2025, 12, 1, tzinfo=UTC))
            assert self.amounts(bob, "pro", "2025-11-16") == (15, 30, 10, "upgrade")
            assert self.amounts(bob, "pro", "2025-01-01") == (31, 31, 20, "upgrade")

    def test_in_one_that_an_operator_has_opened_ahead(self, customer: Callable[..., Customer]) -> None:
        """November's, with October over before its time: what is quoted is what the upgrade bills."""
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            renewal.renew_due(datetime(2025, 11, 1, tzinfo=UTC))
            clock.move_to("2025-10-16T12:00:00Z")
            assert self.amounts(bob, "pro", "2025-10-20") == (30, 30, 20, "upgrade")
            assert self.amounts(bob, "pro", "2025-10-10") == (22, 31, 14.19, "upgrade")
            quoted = preview(bob, target_plan="pro").json()["amount_due"]
            assert bob.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).status_code == 200
            assert quoted == Invoice.objects.latest("pk").total == 20

    def test_where_the_calendar_ends(self, bob: Customer) -> None:
        assert preview(bob, target_plan="pro", at="9999-12-31").json()["prorated_amount"] == 0


def test_the_instant_is_told_in_utc_to_the_microsecond(bob: Customer) -> None:
    told = {
        "2025-10-16": "2025-10-16T00:00:00Z",
        "2025-10-16T12:00:00.25Z": "2025-10-16T12:00:00.250000Z",
        "2025-10-16t12:00:00z": "2025-10-16T12:00:00Z",
        "2025-10-16T12:00:00-05:00": "2025-10-16T17:00:00Z",
    }
    assert {given: preview(bob, target_plan="pro", at=given).json()["at"] for given in told} == told


def test_only_the_target_is_required(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-17T00:00:00Z")
        shown = preview(bob, target_plan="pro").json()
    # October has 31 days, of which the 17th is the 15th before the end.
    assert (shown["days_remaining"], shown["days_total"]) == (15, 31)
    assert (shown["credit_from_current"], shown["charge_for_target"]) == (14.03, 23.71)


def test_the_own_plan_counts_at_the_price_of_its_period_and_a_given_one_at_list_price(bob: Customer) -> None:
    starter = Plan.objects.get(code="starter")
    starter.price = Decimal(39)
    starter.save()
    assert preview(bob, target_plan="pro").json()["current_plan_cost"] == 29
    assert preview(bob, target_plan="pro", current_plan="starter").json()["current_plan_cost"] == 39


def test_a_lower_plan_owes_the_customer(carol: Customer) -> None:
    shown = preview(carol, target_plan="starter").json()
    assert (shown["direction"], shown["prorated_amount"]) == ("downgrade", -20)


def test_the_same_plan_costs_nothing(carol: Customer) -> None:
    shown = preview(carol, target_plan="pro").json()
    assert (shown["direction"], shown["prorated_amount"]) == ("same", 0)


def test_from_a_free_plan_everything_is_charge(alice: Customer) -> None:
    shown = preview(alice, target_plan="starter").json()
    assert (shown["credit_from_current"], shown["charge_for_target"]) == (0, 29)


def test_by_second_the_fraction_is_exact_and_the_days_stay_whole(bob: Customer, settings: LazySettings) -> None:
    settings.PRORATION_GRANULARITY = "second"
    shown = preview(bob, current_plan="starter", target_plan="pro", at="2025-10-16T12:00:00Z", **OCTOBER).json()
    assert (shown["days_remaining"], shown["days_total"]) == (15, 30)
    # 14.5 of 30 days: 29 * 14.5 / 30 = 14.016…, 49 * 14.5 / 30 = 23.683…
    assert (shown["credit_from_current"], shown["charge_for_target"]) == (14.02, 23.68)


@pytest.mark.parametrize(
    ("currency", "prices", "amounts"),
    [
        ("JPY", ("2900", "4900"), (b'"credit_from_current":1403,', b'"charge_for_target":2371,', b'_amount":968,')),
        ("KWD", ("8.750", "15"), (b'"credit_from_current":4.234,', b'target":7.258,', b'_amount":3.024,')),
    ],
)
def test_amounts_have_the_currencys_decimals(
    customer: Callable[..., Customer], currency: str, prices: tuple[str, str], amounts: tuple[bytes, ...]
) -> None:
    sell("small", prices[0], currency=currency)
    sell("large", prices[1], currency=currency, rank=501)
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        erin = customer("erin", "small")
        clock.move_to("2025-10-17T08:00:00Z")
        response = preview(erin, target_plan="large")
    for amount in amounts:
        assert amount in response.content
    assert response.json()["currency"] == currency


def test_it_changes_nothing(bob: Customer) -> None:
    def everything() -> list[Any]:
        return [list(model.objects.order_by("pk").values()) for model in (Subscription, BillingPeriod, Invoice, Fence)]

    before = everything()
    assert preview(bob, target_plan="business").status_code == 200
    assert everything() == before


def test_unknown_and_archived_targets_are_named(bob: Customer) -> None:
    Plan.objects.filter(code="plus").update(archived_at=datetime(2025, 1, 1, tzinfo=UTC))
    for code in ("gold", "plus", "", " ", "PRO", "p" * 51):
        assert list(errors(preview(bob, target_plan=code))) == ["target_plan"]
    assert "community, starter, pro, business, enterprise" in errors(preview(bob, target_plan="gold"))["target_plan"][0]


def test_an_archived_plan_may_be_the_current_one(bob: Customer) -> None:
    Plan.objects.filter(code="plus").update(archived_at=datetime(2025, 1, 1, tzinfo=UTC))
    assert preview(bob, target_plan="pro", current_plan="plus").json()["prorated_amount"] == -150
    assert list(errors(preview(bob, target_plan="pro", current_plan="gold"))) == ["current_plan"]


def test_a_cycle_that_ends_before_it_starts_or_within_a_day(bob: Customer) -> None:
    for cycle in (
        {"billing_cycle_start": "2025-10-31", "billing_cycle_end": "2025-10-01"},
        {"billing_cycle_start": "2025-10-01", "billing_cycle_end": "2025-10-01"},
        {"billing_cycle_start": "2025-10-01T09:00:00Z", "billing_cycle_end": "2025-10-01T17:00:00Z"},
        {"billing_cycle_start": "9999-12-31"},
        {"billing_cycle_end": "0001-01-01"},
    ):
        assert list(errors(preview(bob, target_plan="pro", **cycle))) == ["billing_cycle_end"]


def test_the_shortest_cycle_is_a_day(bob: Customer) -> None:
    cycle = {"billing_cycle_start": "2025-10-01", "billing_cycle_end": "2025-10-02"}
    assert preview(bob, target_plan="pro", at="2025-10-01", **cycle).json()["prorated_amount"] == 20


def test_by_second_a_cycle_within_a_day_is_one(bob: Customer, settings: LazySettings) -> None:
    settings.PRORATION_GRANULARITY = "second"
    cycle = {"billing_cycle_start": "2025-10-01T09:00:00Z", "billing_cycle_end": "2025-10-01T17:00:00Z"}
    shown = preview(bob, target_plan="pro", at="2025-10-01T13:00:00Z", **cycle).json()
    assert (shown["prorated_amount"], shown["days_total"]) == (10, 0)


def test_two_currencies_and_two_intervals_are_refused(bob: Customer) -> None:
    sell("tokyo", "4900", currency="JPY")
    sell("yearly", "490", interval="year")
    (currency,) = errors(preview(bob, target_plan="tokyo"))["target_plan"]
    (interval,) = errors(preview(bob, target_plan="yearly", current_plan="starter"))["target_plan"]
    assert "billed in USD; it can only follow at the period's end" in currency
    assert "billed every year, but starter every month" in interval
    assert list(errors(preview(bob, target_plan="pro", current_plan="tokyo"))) == ["target_plan"]


def test_to_a_longer_interval_a_period_begins(customer: Callable[..., Customer]) -> None:
    """The own plan's unused time is credited, and the new period is charged in full."""
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        sell("yearly", "490", interval="year")
        clock.move_to("2025-10-16T09:30:00Z")
        quote = preview(bob, target_plan="yearly").json()
    assert (quote["credit_from_current"], quote["charge_for_target"], quote["prorated_amount"]) == (14.97, 490, 475.03)
    assert (quote["days_remaining"], quote["days_total"], quote["direction"]) == (16, 31, "upgrade")


def test_a_trailing_slash_is_accepted(bob: Customer) -> None:
    assert bob.post(f"{PREVIEW}/", {"target_plan": "pro"}).status_code == 200


def test_of_a_late_close_the_period_is_previewed_that_upgrade_would_be_billed_for(
    customer: Callable[..., Customer],
) -> None:
    with moved_by_hand("2025-09-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-17T00:00:00Z")
        shown = preview(bob, target_plan="pro").json()
        assert (shown["days_total"], shown["credit_from_current"]) == (31, 14.03)
        upgraded = bob.post("/api/v1/billing/upgrade", {"target_plan": "pro"}).json()
    assert upgraded["prorated_amount"] == shown["prorated_amount"]
    assert upgraded["current_period_start"] == "2025-10-01T00:00:00Z"


def test_the_function_keeps_its_name_and_works_from_a_shell(bob: Customer) -> None:
    now = datetime(2025, 10, 16, tzinfo=UTC)
    starter, pro = (Plan.objects.get(code=code) for code in ("starter", "pro"))
    start, end = datetime(2025, 10, 1, tzinfo=UTC), datetime(2025, 10, 31, tzinfo=UTC)
    found = calculate_proration(bob.account, pro, now, current=starter, cycle_start=start, cycle_end=end)
    assert (found.proration.credit, found.proration.charge) == (Decimal("14.50"), Decimal("24.50"))
    assert found.proration.net == Decimal("10.00")
    with pytest.raises(InvalidCycle):
        calculate_proration(bob.account, pro, now, cycle_start=end, cycle_end=start)


def test_a_customer_without_a_subscription_is_on_the_default_plan(django_user_model: Any, catalogue: None) -> None:
    user = django_user_model.objects.create_user("newcomer")
    now = datetime(2025, 10, 16, tzinfo=UTC)
    found = calculate_proration(user.pk, Plan.objects.get(code="starter"), now)
    assert (found.current_cost, found.target_cost, found.proration.net) == (0, 29, 29)
    assert opening.get_or_open_subscription(user.pk, now).plan.code == "community"
    assert found.at == now
