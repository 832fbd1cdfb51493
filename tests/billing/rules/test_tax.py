"""Which tax a sale is under, and what it comes to."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.rules.countries import COUNTRIES, EU
from billing.rules.tax import (
    UNTAXED,
    Category,
    Place,
    Rate,
    TaxSum,
    Treatment,
    rate_at,
    shares,
    take,
    tax_sums,
    treatment,
)
from tests.factories import at, money

START, MICROSECOND = at("2025-01-01"), timedelta(microseconds=1)
RATES = [
    Rate("DE", money(19), "VAT", START),
    Rate("DE", money(16), "VAT", at("2025-07-01")),
    Rate("FR", money(20), "TVA", START),
    Rate("AU", money(10), "GST", START),
    Rate("AU", money(0), "GST", at("2025-07-01")),
]
SELLER, LATER = Place("DE", True), at("2025-03-01")
STANDARD = Treatment(Category.STANDARD, money(19), "DE", "VAT")
INCLUDED = Treatment(Category.STANDARD, money(19), "DE", "VAT", True)
REVERSE = Treatment(Category.REVERSE_CHARGE, money(0), "FR", "VAT")


def under(buyer: Place, seller: Place = SELLER, when: object = LATER, included: bool = False) -> Treatment:
    return treatment(seller, buyer, RATES, when, included=included)  # type: ignore[arg-type]


def test_the_country_codes_are_those_of_iso() -> None:
    assert (len(COUNTRIES), len(EU), EU <= COUNTRIES) == (249, 27, True)


@pytest.mark.parametrize(
    ("when", "percent"),
    [(-MICROSECOND, None), (timedelta(0), 19), (timedelta(181) - MICROSECOND, 19), (timedelta(181), 16)],
)
def test_the_rate_that_began_last_holds(when: timedelta, percent: int | None) -> None:
    rate = rate_at(RATES, "DE", START + when)
    assert (rate and rate.percent) == percent


def test_the_buyers_country_decides() -> None:
    assert under(Place("DE", False)) == STANDARD
    assert under(Place("DE", True)) == STANDARD, "at home a number changes nothing"
    assert under(Place("FR", False)).percent == 20, "a consumer abroad"
    assert under(Place("AU", True)).name == "GST", "a number outside the EU changes nothing"
    assert under(Place("US", False)) == UNTAXED
    assert under(Place("DE", False), included=True) == INCLUDED


def test_between_two_countries_of_the_eu_the_buyer_with_a_number_owes_it() -> None:
    assert under(Place("FR", True)) == REVERSE
    assert under(Place("IT", True)).category == "AE", "no rate has to be known"
    assert under(Place("FR", True), included=True) == REVERSE
    assert under(Place("FR", True), seller=Place("DE", False)).category == "S", "the seller has none to account with"
    assert under(Place("FR", True), seller=Place("US", True)).category == "S", "the seller is outside"


def test_a_rate_of_nothing_ends_one() -> None:
    ended = under(Place("AU", False), when=at("2025-07-01"), included=True)
    assert (ended.category, ended.percent, ended.included) == ("Z", 0, False)


@pytest.mark.parametrize(
    ("amount", "currency", "on_top", "within"),
    [
        ("0.13", "USD", "0.02", "0.02"),
        ("10", "USD", "1.90", "1.60"),
        ("119", "USD", "22.61", "19.00"),
        ("-119", "USD", "-22.61", "-19.00"),
        ("50", "JPY", "10", "8"),
        ("1.001", "KWD", "0.190", "0.160"),
    ],
)
def test_it_is_rounded_half_up_to_the_minor_unit(amount: str, currency: str, on_top: str, within: str) -> None:
    assert STANDARD.tax_on(money(amount), currency) == money(on_top)
    assert INCLUDED.tax_on(money(amount), currency) == money(within)


def test_each_treatment_is_rounded_once() -> None:
    amounts = [(STANDARD, money("0.13")), (REVERSE, money(5)), (STANDARD, money("0.13"))]
    assert tax_sums(amounts, "USD") == (
        TaxSum(STANDARD, money("0.26"), money("0.05")),
        TaxSum(REVERSE, money(5), money(0)),
    )
    assert tax_sums([(INCLUDED, money(119))], "USD") == (TaxSum(INCLUDED, money(100), money(19)),)


def test_what_is_given_back_comes_out_of_what_was_sold_last() -> None:
    left = {REVERSE: money(31), STANDARD: money(16)}
    assert take(money(20), left) == [(REVERSE, 20)]
    assert take(money(40), left) == [(REVERSE, 31), (STANDARD, 9)]
    assert take(money(50), left) == [(REVERSE, 34), (STANDARD, 16)], "never lost, whatever is left"
    assert take(money(5), {REVERSE: money(-3), STANDARD: money(9)}) == [(STANDARD, 5)]
    assert take(money(5), {}) == [(UNTAXED, 5)]


MINOR = st.integers(0, 10**6).map(lambda minor: Decimal(minor) / 100)


@given(
    st.lists(st.tuples(MINOR, st.sampled_from([0, 5, 7, 19, 21, 25])), min_size=1, max_size=2),
    st.lists(st.integers(1, 99)),
)
def test_the_parts_of_all_credit_notes_add_up_to_the_invoice(
    sold: list[tuple[Decimal, int]], percents: list[int]
) -> None:
    sums = tax_sums(
        [(Treatment(Category.STANDARD, money(percent), str(n)), net) for n, (net, percent) in enumerate(sold)], "USD"
    )
    total = sum((each.net + each.tax for each in sums), Decimal(0))
    before, parts = Decimal(0), []
    for percent in [*percents, 100]:
        amount = ((total - before) * percent / 100).quantize(Decimal("0.01"))
        if amount > 0:
            taken = shares(sums, before, amount, "USD")
            assert sum(each.net + each.tax for each in taken) == amount
            assert all(each.net >= 0 for each in taken)
            parts.append(taken)
            before += amount
    if parts:
        for index, each in enumerate(sums):
            assert (sum(p[index].net for p in parts), sum(p[index].tax for p in parts)) == (each.net, each.tax)
