"""Law L6 with tax, over random customers: on top and included, rates, places and modes that change in mid-period."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from freezegun import freeze_time
from hypothesis import given
from hypothesis import strategies as st

from billing.documents.en16931 import can_express
from billing.documents.issued import of_credit_note, of_invoice
from billing.models import CreditNote, Invoice, TaxRate
from tests.billing.documents.sums import assert_adds_up
from tests.billing.invoicing.test_money_laws import (
    ANCHORS,
    CURRENCIES,
    GRANULARITIES,
    LAWS,
    MINOR_PRICES,
    STEPS,
    Customer,
    plans_of,
    rolled_back,
)
from tests.factories import make_details, make_rate, make_seller, money

pytestmark = [pytest.mark.django_db, pytest.mark.no_cover]
LIMITS: dict[str, Any] = {"LARGEST_INVOICE": 10**9, "MOST_INVOICES_A_DAY": 10**6}
PERCENTS = ["0", "5.5", "7", "19", "25"]
BUYERS = [("DE", ""), ("DE", "DE136695976"), ("FR", ""), ("FR", "FR40303265045"), ("US", "")]
WITH_TAX = st.one_of(
    STEPS,
    st.tuples(st.just("rate"), st.integers(0, 4)),
    st.tuples(st.just("move"), st.integers(0, 4)),
    st.tuples(st.just("mode"), st.integers(0, 1)),
    st.tuples(st.just("change"), st.integers(0, 3)),
    st.tuples(st.just("credit"), st.integers(1, 100)),
)


class TaxedCustomer(Customer):
    def _rate(self, index: int) -> None:
        begun = {"percent": money(PERCENTS[index]), "name": "VAT"}
        TaxRate.objects.update_or_create(country="DE", valid_from=self.now, defaults=begun)

    def _mode(self, index: int) -> None:
        settings.PRICES_INCLUDE_TAX = bool(index)  # within override_settings

    def _move(self, index: int) -> None:
        make_details(self.subscription.account_id, *BUYERS[index])


def documents_agree(account: int) -> None:
    """What is printed says what the ledger has, and adds up by the rules of EN 16931."""
    for invoice in Invoice.objects.issued().filter(account=account):
        document = of_invoice(invoice)
        assert (document.net, document.tax, document.due) == (invoice.net, invoice.tax, invoice.total)
        if can_express(document):
            assert_adds_up(document)
    for note in CreditNote.objects.filter(account=account):
        document = of_credit_note(note)
        assert (document.net, document.tax) == (note.net, note.tax)
        if can_express(document):
            assert_adds_up(document)


@given(
    currency=CURRENCIES,
    granularity=GRANULARITIES,
    included=st.booleans(),
    prices=st.lists(MINOR_PRICES, min_size=4, max_size=4),
    anchor=ANCHORS,
    steps=st.lists(WITH_TAX, min_size=3, max_size=14),
)
@LAWS
def test_every_cent_is_explained_with_its_tax(
    currency: str, granularity: str, included: bool, prices: list[int], anchor: datetime, steps: list[tuple[str, int]]
) -> None:
    modes = {"PRORATION_GRANULARITY": granularity, "PRICES_INCLUDE_TAX": included}
    with override_settings(**modes, **LIMITS), rolled_back(), freeze_time(anchor) as clock:
        make_seller()
        make_rate("DE", 19)
        make_rate("FR", 20)
        customer = TaxedCustomer(plans_of(prices, currency, "month"), anchor, clock)
        for step, value in steps:
            customer.do(step, value)
        customer.do("close", 0)
        documents_agree(customer.subscription.account_id)
