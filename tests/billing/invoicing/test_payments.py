"""What is paid: in parts and in full, once a reference, in amounts that fit."""

from __future__ import annotations

from decimal import Decimal

import pytest

from billing.invoicing import credit_notes, payments
from billing.invoicing.ledger import BillingError
from billing.models import Payment, Subscription
from tests.billing.ledger import assert_explained, invoices
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, LATER = at("2025-10-01"), at("2025-10-16")


def test_a_payment_settles_in_parts_and_then_in_full(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    payments.pay(invoice, money("98.99"), LATER, "a")
    assert (invoice.status, invoice.due) == ("open", money("0.01"))
    with refuses(BillingError, r"0\.01 USD is due on INV-000001"):
        payments.pay(invoice, money("0.02"), LATER, "b")
    payments.pay(invoice, money("0.01"), LATER, "b")
    assert (invoice.status, invoice.due) == ("paid", 0)
    with refuses(BillingError, "is paid; only an open invoice is paid"):
        payments.pay(invoice, money("0.01"), LATER, "c")
    assert_explained(sold)


def test_one_reference_is_one_payment(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    first = payments.pay(invoice, money(99), LATER, "bank-7")
    assert payments.pay(invoice, money(99), LATER, "bank-7") == first
    assert Payment.objects.count() == 1
    with refuses(BillingError, "give another reference"):
        payments.pay(invoice, money(98), LATER, "bank-7")


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "99.01", "NaN", "Infinity", "-Infinity"])
def test_an_amount_that_does_not_fit_is_refused(sold: Subscription, amount: str) -> None:
    (invoice,) = invoices(sold)
    with refuses(BillingError, r"99\.00 USD is due"):
        payments.pay(invoice, Decimal(amount), LATER, "x")
    with refuses(BillingError, r"between 0 and 99\.00 USD"):
        credit_notes.credit(invoice, Decimal(amount), "x", LATER)


@pytest.mark.parametrize(
    ("currency", "price", "fits", "too_fine"), [("JPY", "4900", "1", "0.5"), ("KWD", "15.125", "0.001", "0.0005")]
)
def test_amounts_have_the_decimals_of_their_currency(currency: str, price: str, fits: str, too_fine: str) -> None:
    sold = make_subscription(make_plan("p", price, currency=currency), START)
    (invoice,) = invoices(sold)
    with refuses(BillingError, f"{price} {currency} is due"):
        payments.pay(invoice, money(too_fine), LATER, "x")
    payments.pay(invoice, money(fits), LATER, "x")
    assert invoice.due == money(price) - money(fits)
