"""bulk_insert.py: rows by COPY are the rows that bulk_create makes."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from billing.bulk_insert import copy_rows, copy_values
from billing.models import BillingPeriod, Invoice, InvoiceLine, Subscription
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription() -> Subscription:
    return make_subscription(make_plan("plan", 31), at("2025-10-01"))


def period(subscription: Subscription, number: int, **fields: Any) -> BillingPeriod:
    start, end = at(f"2025-{10 + number}-01"), at(f"2025-{10 + number}-28")
    terms = {"plan": subscription.plan, "price": money("12.3456"), "currency": "USD"}
    terms |= {"starts_at": start, "ends_at": end}
    return BillingPeriod(subscription=subscription, number=number, **terms | fields)


def test_nothing_is_no_statement(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        copy_rows([])


def test_the_database_gives_the_keys_that_are_not_set(subscription: Subscription) -> None:
    copy_rows([period(subscription, 1), period(subscription, 2)])
    assert list(subscription.periods.values_list("number", "price"))[1:] == [
        (1, money("12.3456")),
        (2, money("12.3456")),
    ]


def test_keys_nulls_choices_and_odd_text_arrive_as_they_are(subscription: Subscription) -> None:
    draft = Invoice(pk=77, account_id=subscription.account_id, subscription=subscription, currency="USD", total=5)
    copy_rows([draft])
    text = 'Pro\t"plan"\n\\N \\. é'
    copy_rows(
        [
            InvoiceLine(
                invoice_id=77,
                position=1,
                kind=InvoiceLine.Kind.BASE,
                description=text,
                amount=money("-0.5"),
                period_start=at("2025-10-01"),
                period_end=at("2025-11-01"),
            )
        ]
    )
    stored = Invoice.objects.get(pk=77)
    assert (stored.status, stored.number, stored.issued_at, stored.settled) == ("draft", None, None, 0)
    line = stored.lines.get()
    assert (line.kind, line.description, line.amount) == ("base", text, money("-0.5"))


@pytest.mark.parametrize("wrong", [{"ends_at": at("2025-12-01")}, {"price": -1}, {"currency": None}])
def test_what_the_database_refuses_is_djangos_error(subscription: Subscription, wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        copy_rows([period(subscription, 1), period(subscription, 2, **wrong)])
    assert subscription.periods.count() == 1


def test_what_a_column_cannot_hold_is_djangos_error(subscription: Subscription) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        copy_rows([period(subscription, 1, currency="TOOLONG")])


def test_what_no_value_is_given_for_gets_the_default_of_the_database(subscription: Subscription) -> None:
    values = (subscription.pk, 1, at("2025-11-01"), at("2025-12-01"), subscription.plan_id, money("12.3456"), "USD")
    fields = ("subscription_id", "number", "starts_at", "ends_at", "plan_id", "price", "currency")
    copy_values(BillingPeriod, fields, [values])
    stored = subscription.periods.get(number=1)
    assert (stored.price, stored.discount, stored.is_trial, stored.coupon) == (money("12.3456"), 0, False, None)
