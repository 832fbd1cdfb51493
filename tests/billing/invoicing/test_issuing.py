"""Invoices, payments, credit notes, balances: what the ledger allows, and what the database itself refuses."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from billing.invoicing import credit_notes, issuing, ledger
from billing.invoicing.bills import Bill
from billing.invoicing.numbering import take_numbers
from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, Plan, Subscription
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained, bill, hand_over, invoices, lines, pay_in_full
from tests.factories import at, make_subscription, money

pytestmark = pytest.mark.django_db
START, LATER = at("2025-10-01"), at("2025-10-16")


def test_an_invoice_is_numbered_open_and_adds_up(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    assert (invoice.number, invoice.status, invoice.total, invoice.issued_at) == ("INV-000001", "open", 99, START)
    assert lines(invoice) == [("base", 99)]
    assert invoice.due == 99
    assert_explained(sold)


def test_no_bills_take_no_number() -> None:
    assert issuing.issue([], START) == []
    assert take_numbers("INV", 1) == ["INV-000001"]


def test_the_bills_of_one_batch_share_one_balance(sold: Subscription) -> None:
    (first,) = invoices(sold)
    pay_in_full(first, START)
    credit_notes.credit(first, money(50), "outage", LATER)
    issued = issuing.issue([bill(sold, 30), bill(sold, 30), bill(sold, 30)], LATER)
    assert [invoice.total for invoice in issued] == [0, 10, 30]
    assert [invoice.status for invoice in issued] == ["paid", "open", "open"]
    assert ledger.balance(sold.account_id, "USD") == 0
    assert_explained(sold)


def test_a_balance_in_one_currency_pays_nothing_in_another(sold: Subscription) -> None:
    (first,) = invoices(sold)
    pay_in_full(first, START)
    credit_notes.credit(first, money(50), "outage", LATER)
    yen = Bill(sold, "JPY", bill(sold, 40).lines)
    (second,) = issuing.issue([yen], LATER)
    assert (second.total, ledger.balance(sold.account_id, "USD")) == (40, 50)


def test_one_accounts_balance_pays_nothing_of_another(sold: Subscription, high: Plan) -> None:
    (first,) = invoices(sold)
    pay_in_full(first, START)
    credit_notes.credit(first, money(50), "outage", LATER)
    other = make_subscription(high, START)
    issued = issuing.issue([bill(other, 40), bill(sold, 40)], LATER)
    assert [invoice.total for invoice in issued] == [40, 0]


def test_a_negative_total_lowers_the_unpaid_invoice_of_its_period_first(sold: Subscription, low: Plan) -> None:
    november = at("2025-11-01")
    renewal.renew_due(november)
    hand_over(sold, low, november)
    first, second, third = invoices(sold)
    assert [invoice.total for invoice in (first, second, third)] == [99, 99, -70]
    assert [invoice.due for invoice in (first, second, third)] == [99, 29, 0]
    assert_explained(sold)


def test_what_is_left_of_it_lowers_what_else_is_due(sold: Subscription, low: Plan) -> None:
    november = at("2025-11-01")
    renewal.renew_due(november)
    pay_in_full(invoices(sold)[1], november)
    hand_over(sold, low, november)
    assert [invoice.due for invoice in invoices(sold)] == [29, 0, 0]
    assert_explained(sold)


def test_a_negative_total_of_a_paid_period_becomes_balance_and_is_used(sold: Subscription, low: Plan) -> None:
    pay_in_full(invoices(sold)[0], START)
    changed = hand_over(sold, low, START)
    assert (changed.invoice.total, changed.invoice.status, changed.invoice.due) == (-70, "paid", 0)
    assert ledger.balance(sold.account_id, "USD") == 70
    (second,) = issuing.issue([bill(sold, 100)], LATER)
    assert (second.total, second.status) == (30, "open")
    assert_explained(sold)


def test_numbers_have_no_gap_after_a_rollback(sold: Subscription) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        issuing.issue([bill(sold, 1), bill(sold, 2)], LATER)
        raise ZeroDivisionError
    (invoice,) = issuing.issue([bill(sold, 3)], LATER)
    assert invoice.number == "INV-000002"


@pytest.mark.parametrize(
    "forbidden",
    [
        lambda i: Invoice.objects.filter(pk=i.pk).update(total=1),
        lambda i: Invoice.objects.filter(pk=i.pk).update(number="INV-9"),
        lambda i: Invoice.objects.filter(pk=i.pk).update(currency="EUR"),
        lambda i: Invoice.objects.filter(pk=i.pk).update(issued_at=LATER),
        lambda i: Invoice.objects.filter(pk=i.pk).update(status="draft", number=None, issued_at=None),
        lambda i: Invoice.objects.filter(pk=i.pk).update(status="open"),
        lambda i: Invoice.objects.filter(pk=i.pk).update(settled=0),
        lambda i: Invoice.objects.filter(pk=i.pk).update(status="void", voided_at=LATER),
        lambda i: i.delete(),
        lambda i: i.lines.all()._raw_delete("default"),
        lambda i: i.lines.update(amount=1),
        lambda i: InvoiceLine.objects.create(
            invoice=i, position=9, kind="charge", description="", amount=1, period_start=START, period_end=LATER
        ),
        lambda i: i.payments.update(amount=1),
        lambda i: i.payments.all()._raw_delete("default"),
        lambda i: CreditNote.objects.update(amount=1),
        lambda i: CreditNote.objects.all()._raw_delete("default"),
        lambda i: BalanceEntry.objects.update(amount=1000),
        lambda i: BalanceEntry.objects.all()._raw_delete("default"),
    ],
)
def test_the_database_keeps_issued_documents(sold: Subscription, forbidden: object) -> None:
    (invoice,) = invoices(sold)
    pay_in_full(invoice, LATER)
    credit_notes.credit(invoice, money(10), "outage", LATER)
    assert callable(forbidden)
    with pytest.raises(DatabaseError), transaction.atomic():
        forbidden(invoice)
    assert_explained(sold)


def test_the_database_refuses_an_invoice_that_does_not_add_up(sold: Subscription) -> None:
    fields = {"account_id": sold.account_id, "subscription": sold, "currency": "USD", "issued_at": START}
    with pytest.raises(DatabaseError, match="sum of its lines"), transaction.atomic():
        Invoice.objects.create(number="INV-9", status="open", total=5, **fields)
    draft = Invoice.objects.create(total=5, **fields | {"issued_at": None})
    with pytest.raises(DatabaseError, match="sum of its lines"), transaction.atomic():
        Invoice.objects.filter(pk=draft.pk).update(status="open", number="INV-9", issued_at=START)
    draft.delete()


def test_the_database_refuses_to_settle_more_than_is_due(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    for settled, status in [(100, "paid"), (99, "open"), (98, "paid"), (-1, "open")]:
        with pytest.raises(DatabaseError), transaction.atomic():
            Invoice.objects.filter(pk=invoice.pk).update(settled=settled, status=status)
