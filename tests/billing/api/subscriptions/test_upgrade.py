"""POST /billing/upgrade."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from billing.models import BillingPeriod, Invoice, Plan, Subscription
from tests.billing.api.subscriptions.plan_changes import PREVIEW, SUBSCRIPTION, UPGRADE, refused, upgrade
from tests.billing.sale import lift_minute, sell
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
PARALLEL = 50


def test_it_answers_as_the_contract_says_and_the_invoice_shows_every_line(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-17T12:00:00Z")
        response = upgrade(bob, "pro")
        assert response.content == (
            b'{"message":"Upgraded to Pro","previous_plan":"starter","current_plan":"pro","prorated_amount":9.68,'
            b'"currency":"USD","invoice":"INV-000002","current_period_start":"2025-10-01T00:00:00Z",'
            b'"current_period_end":"2025-11-01T00:00:00Z","trial_ends_at":null,"tax":0.00,"amount_due":9.68}'
        )
        invoice = bob.api.get("/api/v1/billing/invoices/INV-000002").json()
    assert [(line["description"], line["amount"]) for line in invoice["lines"]] == [
        ("Unused time on Starter", -14.03),
        ("Remaining time on Pro", 23.71),
    ]
    assert (invoice["total"], invoice["status"]) == (9.68, "open")


@pytest.mark.parametrize(
    ("now", "amount"),
    [
        ("2025-12-31T23:59:59.999Z", "16.10"),
        ("2026-01-01T00:00:00Z", "16.10"),
        ("2026-01-01T09:59:59.999Z", "16.10"),
        ("2026-01-01T10:00:00Z", "499.00"),
    ],
)
def test_a_period_that_has_not_ended_has_a_day_left(customer: Callable[..., Customer], now: str, amount: str) -> None:
    """Also on the date on which it ends; from its end on the next period has begun, and costs its whole price."""
    with moved_by_hand("2025-12-01T10:00:00Z") as clock:
        alice = customer("alice", "community")
        clock.move_to(now)
        shown = alice.post(PREVIEW, {"target_plan": "enterprise"})
        assert f'"prorated_amount":{amount}'.encode() in shown.content
        assert f'"prorated_amount":{amount}'.encode() in upgrade(alice, "enterprise").content


@pytest.mark.django_db(transaction=True)
def test_the_new_limits_hold_on_the_next_request(bob: Customer) -> None:
    assert 'q=30;w=60, "quota";q=500' in upgrade(bob, "business").headers["RateLimit-Policy"]
    assert bob.api.get(SUBSCRIPTION).headers["RateLimit-Policy"] == '"minute";q=200;w=60'


def test_a_scheduled_change_is_dropped(carol: Customer) -> None:
    carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
    assert carol.api.get(SUBSCRIPTION).json()["scheduled_plan"] == "starter"
    upgrade(carol, "business")
    shown = carol.api.get(SUBSCRIPTION).json()
    assert (shown["plan"], shown["scheduled_plan"], shown["scheduled_plan_date"]) == ("business", None, None)


def test_the_period_keeps_its_anchor_and_takes_the_new_price(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-31T08:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-03-01T08:00:00Z")
        upgrade(bob, "pro")
        shown = bob.api.get(SUBSCRIPTION).json()
    assert shown["current_period_start"] == "2025-02-28T08:00:00Z"
    assert shown["current_period_end"] == "2025-03-31T08:00:00Z"
    assert shown["period_price"] == 49


def test_not_a_higher_plan(carol: Customer) -> None:
    for target in ("pro", "starter", "community"):
        body = refused(upgrade(carol, target), 400, "not_an_upgrade")
        assert list(body["errors"]) == ["target_plan"]
    assert Invoice.objects.filter(account=carol.account).count() == 1


def test_a_double_click_without_a_key_is_one_upgrade(bob: Customer) -> None:
    assert upgrade(bob, "pro").status_code == 200
    refused(upgrade(bob, "pro"), 400, "not_an_upgrade")
    assert Invoice.objects.filter(account=bob.account).count() == 2


def test_targets_that_cannot_be_had(bob: Customer) -> None:
    Plan.objects.filter(code="plus").update(archived_at=datetime(2025, 1, 1, tzinfo=UTC))
    sell("tokyo", "4900", currency="JPY")
    sell("waiting", "490", upgrade_mode="next_period")
    for target in ("gold", "plus", "tokyo", "waiting", "", None, [], {}, True):
        body = refused(bob.post(UPGRADE, {"target_plan": target}), 400, "invalid")
        assert list(body["errors"]) == ["target_plan"]
    assert list(refused(bob.post(UPGRADE, {}), 400, "invalid")["errors"]) == ["target_plan"]
    assert list(refused(upgrade(bob, "pro", at="2025-10-16"), 400, "invalid")["errors"]) == ["at"]


def test_a_parked_account_is_for_staff(bob: Customer) -> None:
    Subscription.objects.update(parked_at=datetime(2025, 1, 1, tzinfo=UTC), parked_because="a test")
    refused(upgrade(bob, "pro"), 403, "forbidden")


def test_an_upgrade_that_looks_wrong_does_not_go_out(bob: Customer, settings: LazySettings) -> None:
    settings.LARGEST_INVOICE = 19
    refused(upgrade(bob, "pro"), 403, "forbidden")
    settings.LARGEST_INVOICE = 20
    assert upgrade(bob, "pro").json()["prorated_amount"] == 20


def test_it_is_not_public(bob: Customer) -> None:
    assert Client().post(UPGRADE, {"target_plan": "pro"}, content_type="application/json").status_code == 401
    assert bob.api.get(UPGRADE).status_code == 405


@pytest.mark.parametrize(
    ("currency", "prices", "amount"),
    [("JPY", ("2900", "4900"), b'"prorated_amount":968,'), ("KWD", ("8.750", "15"), b'"prorated_amount":3.024,')],
)
def test_in_currencies_of_no_and_of_three_decimals(
    customer: Callable[..., Customer], currency: str, prices: tuple[str, str], amount: bytes
) -> None:
    sell("small", prices[0], currency=currency)
    sell("large", prices[1], currency=currency, rank=501)
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        erin = customer("erin", "small")
        clock.move_to("2025-10-17T08:00:00Z")
        response = upgrade(erin, "large")
        assert amount in response.content
        invoice = erin.api.get(f"/api/v1/billing/invoices/{response.json()['invoice']}")
        assert amount.replace(b"prorated_amount", b"total")[:-1] in invoice.content
        erin.post("/api/v1/billing/downgrade", {"target_plan": "small"})
        shown = erin.api.get(SUBSCRIPTION)
    price, zero = (b"4900", b"0") if currency == "JPY" else (b"15.000", b"0.000")
    assert b'"period_price":%s,' % price in shown.content
    assert b'"balance":%s,' % zero in shown.content
    assert b'"next_invoice_amount":%s,' % prices[0].encode() in shown.content


def test_with_a_late_beat_what_is_due_is_billed_first(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-08-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-01T00:00:00Z")
        assert upgrade(bob, "pro").json()["prorated_amount"] == 20
    totals = Invoice.objects.filter(account=bob.account).order_by("number").values_list("total", flat=True)
    assert list(totals) == [29, 29, 29, 20]
    periods = BillingPeriod.objects.filter(subscription__account=bob.account).order_by("number")
    assert [(period.number, period.plan.code) for period in periods] == [(0, "starter"), (1, "starter"), (2, "pro")]


def test_with_a_late_beat_a_scheduled_plan_is_upgraded_from(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        carol = customer("carol", "pro")
        carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
        clock.move_to("2025-11-01T00:00:00Z")
        quote = carol.post(PREVIEW, {"target_plan": "pro"}).json()
        answer = upgrade(carol, "pro").json()
    assert (quote["current_plan_cost"], quote["prorated_amount"]) == (29, 20)
    assert (answer["previous_plan"], answer["prorated_amount"]) == ("starter", 20)


def at_once(customer: Customer, headers: list[dict[str, str]]) -> list[Any]:
    """The same upgrade by as many clients at the same time."""
    lift_minute(customer)

    def one(given: dict[str, str]) -> Any:
        try:
            return customer.post(UPGRADE, {"target_plan": "pro"}, **given)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(headers)) as clients:
        return list(clients.map(one, headers))


@pytest.mark.django_db(transaction=True)
class TestFiftyAtOnce:
    def test_with_one_key_it_is_one_upgrade_and_everybody_hears_of_it(self, bob: Customer) -> None:
        answers = at_once(bob, [{"Idempotency-Key": "upgrade-1"}] * PARALLEL)
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
        assert Invoice.objects.filter(account=bob.account).count() == 2

    @pytest.mark.parametrize("keys", [True, False], ids=["a key each", "no key"])
    def test_without_a_common_key_the_others_meet_not_an_upgrade(self, bob: Customer, keys: bool) -> None:
        headers = [{"Idempotency-Key": f"upgrade-{n}"} if keys else {} for n in range(PARALLEL)]
        answers = at_once(bob, headers)
        outcomes = sorted(answer.json().get("code", "upgraded") for answer in answers)
        assert outcomes == ["not_an_upgrade"] * (PARALLEL - 1) + ["upgraded"]
        assert list(Invoice.objects.order_by("number").values_list("number", flat=True)) == ["INV-000001", "INV-000002"]
