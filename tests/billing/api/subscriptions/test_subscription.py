"""GET /billing/subscription."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.invoicing import credit_notes
from billing.models import ApiKey, BillingPeriod, Invoice, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import pay
from tests.cast import Customer
from tests.clock import moved_by_hand
from tests.schema import CheckedClient

pytestmark = pytest.mark.django_db
PATH = "/api/v1/billing/subscription"


def subscription(customer: Customer) -> Any:
    response = customer.api.get(PATH)
    assert response.status_code == 200
    return response.json()


def test_it_answers_as_the_contract_says(customer: Callable[..., Customer]) -> None:
    with moved_by_hand("2025-01-31T08:00:00.750000Z") as clock:
        bob = customer("bob", "starter")
        clock.move_to("2025-02-01T00:00:00Z")
        response = bob.api.get(PATH)
    assert response.content == (
        b'{"plan":"starter","status":"active","current_period_start":"2025-01-31T08:00:00Z",'
        b'"current_period_end":"2025-02-28T08:00:00Z","period_price":29.00,"currency":"USD","scheduled_plan":null,'
        b'"scheduled_plan_date":null,"next_invoice_amount":29.00,"balance":0.00,"cancel_at":null,"trial_ends_at":null,'
        b'"discount":null,"coupon":null,"past_due_since":null,"overage":null}'
    )


def test_a_user_without_a_subscription_is_on_the_default_plan(catalogue: None, django_user_model: Any) -> None:
    user = django_user_model.objects.create_user("newcomer")
    _, key = ApiKey.issue(account=user, name="a key")
    api = CheckedClient(headers={"authorization": f"Bearer {key}"})
    shown = api.get(PATH).json()
    assert (shown["plan"], shown["status"], shown["period_price"]) == ("community", "active", 0)


def test_a_price_edit_shows_in_the_next_invoice_only(bob: Customer) -> None:
    starter = Plan.objects.get(code="starter")
    starter.price = Decimal("39.50")
    starter.save()
    shown = subscription(bob)
    assert (shown["period_price"], shown["next_invoice_amount"]) == (29, 39.5)


def test_the_balance_is_used_by_the_next_invoice(bob: Customer) -> None:
    (invoice,) = Invoice.objects.filter(account=bob.account)
    pay(invoice, Decimal(29), timezone.now(), "bank 1")
    credit_notes.credit(invoice, Decimal(20), "goodwill", timezone.now())
    shown = subscription(bob)
    assert (shown["balance"], shown["next_invoice_amount"]) == (20, 9)
    credit_notes.credit(invoice, Decimal(9), "goodwill", timezone.now())
    shown = subscription(bob)
    assert (shown["balance"], shown["next_invoice_amount"]) == (29, 0)


class TestWithALateBeat:
    """What is shown is what the close is going to write."""

    def test_the_period_and_its_price_are_those_of_the_clock(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-01-31T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            for instant, start, end in (
                ("2025-02-27T23:59:59.999999Z", "2025-01-31", "2025-02-28"),
                ("2025-02-28T00:00:00Z", "2025-02-28", "2025-03-31"),
                ("2025-06-15T00:00:00Z", "2025-05-31", "2025-06-30"),
            ):
                clock.move_to(instant)
                shown = subscription(bob)
                period = (shown["current_period_start"], shown["current_period_end"])
                assert period == (f"{start}T00:00:00Z", f"{end}T00:00:00Z")
        assert BillingPeriod.objects.filter(subscription__account=bob.user).count() == 1

    def test_it_is_the_same_once_beat_has_come(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            carol = customer("carol", "pro")
            carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
            (invoice,) = Invoice.objects.filter(account=carol.account)
            pay(invoice, Decimal(49), timezone.now(), "bank 1")
            credit_notes.credit(invoice, Decimal(40), "goodwill", timezone.now())
            clock.move_to("2025-11-01T00:00:00Z")
            before = subscription(carol)
            assert renewal.renew_due(timezone.now()).changed == 1
            after = subscription(carol)
        # 40 less November's 29 leave 11 for December; only the close itself takes them off the balance.
        assert (before["next_invoice_amount"], before["balance"]) == (18, 40)
        assert after == before | {"balance": 11}

    def test_a_price_edited_since_is_not_the_periods(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            bob = customer("bob", "starter")
            clock.move_to("2025-11-02T00:00:00Z")
            starter = Plan.objects.get(code="starter")
            Plan.history.update(history_date="2025-09-01T00:00:00Z")
            starter.price = Decimal(39)
            starter.save()
            shown = subscription(bob)
        assert (shown["period_price"], shown["next_invoice_amount"]) == (29, 39)

    def test_a_parked_account_is_shown_as_well(self, customer: Callable[..., Customer]) -> None:
        with moved_by_hand("2025-10-01T00:00:00Z") as clock:
            carol = customer("carol", "pro")
            carol.post("/api/v1/billing/downgrade", {"target_plan": "starter"})
            Subscription.objects.update(parked_at=timezone.now(), parked_because="a test")
            clock.move_to("2025-11-01T00:00:00Z")
            assert subscription(carol)["plan"] == "starter"


def test_it_is_not_public_and_takes_no_parameters(bob: Customer) -> None:
    assert Client().get(PATH).status_code == 401
    assert list(bob.api.get(PATH, {"account": "1"}).json()["errors"]) == ["account"]
    assert bob.api.get(f"{PATH}/").status_code == 200


def test_nobody_sees_anothers(bob: Customer, carol: Customer) -> None:
    assert (subscription(bob)["plan"], subscription(carol)["plan"]) == ("starter", "pro")


def test_it_shows_in_the_browsable_api(bob: Customer) -> None:
    browser = Client()
    browser.force_login(bob.user)
    response = browser.get(PATH, headers={"accept": "text/html"})
    assert response.status_code == 200
    assert b"current_period_end" in response.content
