"""Tax on the ledger: what invoices and credit notes come to, in both modes, and what documents keep."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, transaction
from pytest_django import DjangoAssertNumQueries

from billing.invoicing import credit_notes, issuing, ledger
from billing.invoicing.bills import base_price
from billing.invoicing.ledger import BillingError
from billing.models import CreditNoteTax, Invoice, InvoiceTax, Plan, Seller, Subscription
from billing.subscriptions import changes
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained, fresh, hand_over, invoices, lines, pay_in_full, taxes
from tests.factories import at, make_details, make_plan, make_rate, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16 12:00:00"), at("2025-11-01")


def test_on_top_of_prices_it_is_a_line_of_its_own(germany: Seller, plan: Plan) -> None:
    (invoice,) = invoices(sold := make_subscription(plan, START))
    assert lines(invoice) == [("base", 100), ("tax", 19)]
    assert [line.description for line in invoice.lines.all()] == ["Hundred", "VAT 19 %"]
    assert (invoice.net, invoice.tax, invoice.gross, invoice.total, invoice.due) == (100, 19, 119, 119, 119)
    assert taxes(invoice) == [("S", 19, 100, 19)]
    assert {(line.tax_category, line.tax_percent) for line in invoice.lines.all()} == {("S", 19)}
    assert_explained(sold)


def test_within_prices_it_is_a_part_of_the_lines(germany: Seller, plan: Plan, settings: Any) -> None:
    settings.PRICES_INCLUDE_TAX = True
    (invoice,) = invoices(sold := make_subscription(plan, START))
    assert lines(invoice) == [("base", 100)]
    assert (invoice.net, invoice.tax, invoice.total) == (money("84.03"), money("15.97"), 100)
    assert invoice.creditable() == 100
    assert_explained(sold)


def test_without_a_seller_everything_is_as_before(plan: Plan) -> None:
    make_rate("DE", 19)
    (invoice,) = invoices(make_subscription(plan, START))
    assert (lines(invoice), taxes(invoice), invoice.net, invoice.tax) == ([("base", 100)], [], 100, 0)
    assert (invoice.seller, invoice.buyer, invoice.due_at) == (None, None, START)


def test_a_document_keeps_its_parties(germany: Seller, plan: Plan) -> None:
    sold = make_subscription(plan, START, "bob")
    (first,) = invoices(sold)
    make_details(sold.account_id, "FR", "FR40303265045")
    germany.name, germany.payment_days = "Renamed", 30
    germany.save()
    renewal.renew_due(END)
    first, second = invoices(sold)
    assert (first.seller["name"], first.buyer["name"], first.buyer["country"]) == ("Metered", "bob", "DE")
    assert (first.due_at, second.due_at) == (START + timedelta(days=14), END + timedelta(days=30))
    assert (second.seller["name"], second.buyer["vat_id"]) == ("Renamed", "FR40303265045")
    assert (first.reverse_charge, second.reverse_charge) == (False, True)
    assert taxes(second) == [("AE", 0, 100, 0)]
    assert second.seller["reverse_charge_text"].startswith("Reverse charge")


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda i: Invoice.objects.filter(pk=i.pk).update(net=1),
        lambda i: Invoice.objects.filter(pk=i.pk).update(tax=1),
        lambda i: Invoice.objects.filter(pk=i.pk).update(buyer={"name": "Somebody"}),
        lambda i: Invoice.objects.filter(pk=i.pk).update(seller=None),
        lambda i: Invoice.objects.filter(pk=i.pk).update(due_at=END),
        lambda i: Invoice.objects.filter(pk=i.pk).update(reverse_charge=True),
        lambda i: i.taxes.update(tax=1),
        lambda i: i.taxes.all()._raw_delete("default"),
        lambda i: InvoiceTax.objects.create(invoice=i, category="Z", percent=0, net=1, tax=0),
        lambda i: CreditNoteTax.objects.update(tax=1),
        lambda i: CreditNoteTax.objects.all()._raw_delete("default"),
    ],
)
def test_the_database_keeps_them(germany: Seller, plan: Plan, forbidden: Any) -> None:
    (invoice,) = invoices(sold := make_subscription(plan, START))
    credit_notes.credit(invoice, money(10), "outage", MIDDLE)
    with pytest.raises(DatabaseError), transaction.atomic():
        forbidden(invoice)
    assert_explained(sold)


class TestCreditNotes:
    def test_it_is_split_as_the_invoice(self, germany: Seller, plan: Plan) -> None:
        (invoice,) = invoices(sold := make_subscription(plan, START))
        assert invoice.creditable() == 119
        note = credit_notes.credit(invoice, money("11.90"), "outage", MIDDLE)
        assert (note.amount, note.net, note.tax) == (money("11.90"), 10, money("1.90"))
        assert invoice.creditable() == money("107.10")
        rest = credit_notes.credit(invoice, money("107.10"), "all of it", MIDDLE)
        assert (rest.net, rest.tax) == (90, money("17.10"))
        assert_explained(sold)

    def test_what_a_change_gave_back_is_not_credited_again(self, germany: Seller, plan: Plan, higher: Plan) -> None:
        (first,) = invoices(sold := make_subscription(plan, START))
        pay_in_full(first, START)
        staff = hand_over(sold, make_plan("half", 50, 0), START)
        assert staff.invoice is not None
        assert staff.invoice.total == money("-59.50")
        assert first.creditable() == money("59.50")
        with pytest.raises(BillingError):
            credit_notes.credit(first, money("59.51"), "twice?", MIDDLE)
        credit_notes.credit(first, money("59.50"), "the rest", MIDDLE)
        assert ledger.balance(sold.account_id, "USD") == 119
        assert_explained(sold)

    def test_over_two_rates(self, germany: Seller, plan: Plan, higher: Plan) -> None:
        sold = make_subscription(plan, START)
        make_rate("DE", 16, at("2025-10-10"))
        changed = changes.upgrade(sold.account_id, higher, MIDDLE).invoice
        assert changed is not None
        assert (changed.gross, changed.creditable()) == (money("58.33"), money("58.33"))
        note = credit_notes.credit(changed, money("58.33"), "all of it", MIDDLE)
        assert sorted((each.net, each.tax) for each in note.taxes.all()) == [
            (money("-51.61"), money("-9.81")),
            (money("103.23"), money("16.52")),
        ]
        assert_explained(sold)

    def test_an_untouched_invoice_is_voided(self, germany: Seller, plan: Plan) -> None:
        (invoice,) = invoices(sold := make_subscription(plan, START))
        credit_notes.void(invoice, MIDDLE)
        assert_explained(sold)


def test_the_bound_of_large_invoices_is_on_what_they_come_to(germany: Seller, plan: Plan, settings: Any) -> None:
    settings.LARGEST_INVOICE = 118
    parked = make_subscription(plan, START)
    assert (fresh(parked).is_parked, invoices(parked)) == (True, [])
    settings.LARGEST_INVOICE = 119
    assert not fresh(make_subscription(plan, START)).is_parked


def test_a_batch_costs_a_query_each(
    germany: Seller, plan: Plan, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    sold = [make_subscription(plan, START) for _ in range(5)]
    bills = [base_price(each.current_period()) for each in sold]
    make_details(sold[0].account_id, "FR")
    for several in (bills[:1], bills):
        with django_assert_num_queries(13):
            issued = issuing.issue(several, MIDDLE)
    assert [invoice.tax for invoice in issued] == [20, 19, 19, 19, 19]
    assert Subscription.objects.count() == 5
