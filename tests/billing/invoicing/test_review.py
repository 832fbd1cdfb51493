"""The bound of an invoice that staff look at, by currency."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from billing.invoicing.review import largest_invoice
from billing.rules.currency_worth import PER_DOLLAR
from billing.rules.money import minor_units
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import fresh, invoices
from tests.factories import at, make_plan, make_subscription

START, END = at("2025-10-01"), at("2025-11-01")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("currency", "price", "goes_out"),
    [
        ("HUF", "14990", True),
        ("COP", "45000", True),
        ("IDR", "150000", True),
        ("VND", "1250000", True),
        ("JPY", "7500", True),
        ("CLP", "45000", True),
        ("KWD", "15.000", True),
        ("EUR", "10000", True),
        ("EUR", "10000.01", False),
        ("USD", "10000", True),
        ("USD", "10000.01", False),
        ("USD", "10000000", False),
        ("HUF", "5000001", False),
        ("IDR", "10000000000", False),
    ],
)
def test_what_is_usual_in_a_currency_goes_out(currency: str, price: str, goes_out: bool) -> None:
    subscription = make_subscription(make_plan("it", price, currency=currency), START)
    assert len(invoices(subscription)) == goes_out
    assert (fresh(subscription).parked_at is None) == goes_out
    assert renewal.renew_due(END).invoices == goes_out


def test_a_setting_has_the_bound_of_a_currency(settings: LazySettings) -> None:
    settings.LARGEST_INVOICES = {"HUF": 100, "EUR": 0}
    assert [largest_invoice(code) for code in ("HUF", "EUR", "USD")] == [100, 0, 10_000]


def test_the_bounds_follow_the_general_one(settings: LazySettings) -> None:
    settings.LARGEST_INVOICE = 7
    assert [largest_invoice(code) for code in ("USD", "HUF", "JPY", "KWD")] == [7, 3500, 700, 7]


@pytest.mark.parametrize("currency", sorted(PER_DOLLAR))
def test_only_currencies_that_there_are_have_a_worth(currency: str) -> None:
    assert minor_units(currency) >= 0
