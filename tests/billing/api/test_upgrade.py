"""POST /billing/upgrade."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client

from billing.invoicing import credit_notes
from billing.models import BillingPeriod, Invoice, Plan, Subscription
from tests.billing.sale import lift_minute, priced_long_ago, sell
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing/upgrade"
PREVIEW = "/api/v1/billing/calculate-proration"
SUBSCRIPTION = "/api/v1/billing/subscription"
PARALLEL = 50


def upgrade(customer: Customer, target: str, **body: Any) -> Any:
    return customer.post(PATH, {"target_plan": target} | body)


def refused(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["code"]) == (status, code), response.content
    body: dict[str, Any] = response.json()
    return body


def test_it_answers_as_the_contract_says_and_the_invoice_shows_every_line(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-10-17T12:00:00Z")
        response = upgrade(bob, "pro")
        assert response.content == (
            b'{"message":"Upgraded to Pro","previous_plan":"starter","current_plan":"pro","prorated_amount":9.68,'
            b'"currency":"USD","invoice":"INV-000002","current_period_start":"2025-10-01T00:00:00Z",'
            b'"current_period_end":"2025-11-01T00:00:00Z"}'
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
    sell("yearly", "490", interval="year")
    for target in ("gold", "plus", "tokyo", "yearly", "", None, [], {}, True):
        body = refused(bob.post(PATH, {"target_plan": target}), 400, "invalid")
        assert list(body["errors"]) == ["target_plan"]
    assert list(refused(bob.post(PATH, {}), 400, "invalid")["errors"]) == ["target_plan"]
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
    assert Client().post(PATH, {"target_plan": "pro"}, content_type="application/json").status_code == 401
    assert bob.api.get(PATH).status_code == 405


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
    assert b'"balance":%s}' % zero in shown.content
    assert b'"next_invoice_amount":%s,' % prices[0].encode() in shown.content


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
            return customer.post(PATH, {"target_plan": "pro"}, **given)
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
