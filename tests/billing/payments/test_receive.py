"""All money comes in by one door: once each, to what is due, and the rest to the balance."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from billing.invoicing import credit_notes, ledger
from billing.invoicing.ledger import BillingError
from billing.models import BalanceEntry, MoneyIn, Payment, Subscription
from billing.payments.receive import LONG_BEFORE, is_long_before, receive
from tests.billing.ledger import assert_explained, invoices, pay
from tests.billing.payments.money import arrive, invoiced, parts
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, LATER = at("2025-10-01"), at("2025-10-16")


def test_money_settles_its_invoice_in_parts_and_then_in_full(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(invoice, money("98.99"), LATER, "a")
    assert (invoice.status, invoice.due) == ("open", money("0.01"))
    pay(invoice, money("0.01"), LATER, "b")
    assert (invoice.status, invoice.due) == ("paid", 0)
    assert_explained(sold)


@pytest.mark.parametrize(("amount", "due", "balance"), [("98.99", "0.01", 0), ("99", 0, 0), ("99.01", 0, "0.01")])
def test_what_is_above_what_is_due_becomes_balance(
    sold: Subscription, amount: str, due: object, balance: object
) -> None:
    (invoice,) = invoices(sold)
    money_in = pay(invoice, money(amount), LATER, "a")
    assert (invoice.due, ledger.balance(sold.account_id, "USD")) == (money(due), money(balance))
    assert money_in.to_balance == money(balance)
    assert BalanceEntry.objects.filter(money_in=money_in).exists() == bool(money(balance))
    assert_explained(sold)


def test_it_goes_to_the_named_invoice_then_to_the_oldest(sold: Subscription) -> None:
    account = sold.account_id
    second, third = (invoiced(sold, amount, day) for amount, day in ((20, "2025-10-05"), (30, "2025-10-06")))
    (first, *_) = invoices(sold)
    arrived = arrive(account, 160, invoice=third)
    assert parts(arrived) == [(third.number, 30), (first.number, 99), (second.number, 20)]
    assert (arrived.to_balance, arrived.invoice) == (11, third)
    assert_explained(sold)


def test_without_an_invoice_the_oldest_comes_first(sold: Subscription) -> None:
    second = invoiced(sold, 20, "2025-10-05")
    (first, _) = invoices(sold)
    assert parts(arrive(sold.account_id, 100)) == [(first.number, 99), (second.number, 1)]
    assert_explained(sold)


@pytest.mark.parametrize("state", ["paid", "void"])
def test_for_an_invoice_that_is_paid_or_void_it_goes_to_others_and_the_balance(sold: Subscription, state: str) -> None:
    (first,) = invoices(sold)
    if state == "paid":
        pay(first, money(99), LATER, "before")
    else:
        credit_notes.void(first, LATER)
    second = invoiced(sold, 20, "2025-10-05")
    arrived = arrive(sold.account_id, 50, invoice=first)
    assert (parts(arrived), arrived.to_balance) == ([(second.number, 20)], 30)
    assert_explained(sold)


def test_money_of_another_currency_is_balance_in_it(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    arrived = arrive(sold.account_id, 50, currency="EUR", invoice=invoice)
    assert (parts(arrived), ledger.balance(sold.account_id, "EUR")) == ([], 50)
    assert invoice.due == 99
    assert_explained(sold)


def test_money_of_who_has_no_subscription_is_balance(db: None) -> None:
    account = User.objects.create_user("zoe").pk
    arrive(account, 50)
    assert ledger.balance(account, "USD") == 50


def test_one_reference_of_a_source_is_one_money(sold: Subscription) -> None:
    first = arrive(sold.account_id, 60, reference="tr-7")
    assert arrive(sold.account_id, 60, reference="tr-7") == first
    assert (MoneyIn.objects.count(), Payment.objects.count()) == (1, 1)
    for other in (
        {"amount": 61},
        {"currency": "EUR"},
        {"account": User.objects.create_user("mallory").pk},
    ):
        with refuses(BillingError, "tr-7 was recorded as 60.* USD; give another reference"):
            arrive(**({"account": sold.account_id, "amount": 60, "reference": "tr-7"} | other))
    assert arrive(sold.account_id, 60, source="other", reference="tr-7") != first
    assert_explained(sold)


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "NaN", "Infinity", "-Infinity", "1e-50"])
def test_an_amount_that_is_no_money_is_refused(sold: Subscription, amount: str) -> None:
    with refuses(BillingError, "no amount of money"):
        arrive(sold.account_id, Decimal(amount))
    with refuses(BillingError, r"between 0 and 99\.00 USD"):
        credit_notes.credit(invoices(sold)[0], Decimal(amount), "x", LATER)
    assert not MoneyIn.objects.exists()


@pytest.mark.parametrize(
    ("currency", "price", "fits", "too_fine"), [("JPY", "4900", "1", "0.5"), ("KWD", "15.125", "0.001", "0.0005")]
)
def test_amounts_have_the_decimals_of_their_currency(currency: str, price: str, fits: str, too_fine: str) -> None:
    sold = make_subscription(make_plan("p", price, currency=currency), START)
    (invoice,) = invoices(sold)
    with refuses(BillingError, f"{too_fine} {currency} is no amount"):
        pay(invoice, money(too_fine), LATER, "x")
    pay(invoice, money(fits), LATER, "x")
    assert invoice.due == money(price) - money(fits)


def test_what_cannot_be_is_refused(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    with refuses(BillingError, "no amount of money"):
        arrive(sold.account_id, 1, currency="XYZ")
    with refuses(BillingError, "has not come"):
        receive(sold.account_id, "USD", money(1), "manual", "x", LATER, START)
    with refuses(BillingError, "another account"):
        arrive(User.objects.create_user("mallory").pk, 1, invoice=invoice)
    assert not MoneyIn.objects.exists()


def test_a_date_long_before_the_invoice_looks_wrong(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    assert not is_long_before(invoice, START - LONG_BEFORE)
    assert is_long_before(invoice, START - LONG_BEFORE - timedelta(microseconds=1))
