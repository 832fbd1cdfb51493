"""Invoices, payments, credit notes, balances: what the ledger allows, and what the database itself refuses."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction

from billing.invoicing import credit_notes, issuing, ledger, payments
from billing.invoicing.issuing import Bill, Line
from billing.invoicing.ledger import BillingError, Kind
from billing.invoicing.numbering import take_numbers
from billing.models import BalanceEntry, CreditNote, Invoice, InvoiceLine, Payment, Plan, Subscription
from billing.subscriptions import renewal
from tests.billing.ledger import (
    assert_explained,
    at,
    hand_over,
    invoices,
    lines,
    make_plan,
    make_subscription,
    money,
    pay_in_full,
)
from tests.billing.refuses import refuses

pytestmark = pytest.mark.django_db
START, LATER = at("2025-10-01"), at("2025-10-16")


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 29, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 99, 2)


@pytest.fixture
def sold(high: Plan) -> Subscription:
    return make_subscription(high, START)


def bill(subscription: Subscription, *amounts: object) -> Bill:
    period = subscription.periods.get().period
    kinds = [Kind.CHARGE if money(amount) >= 0 else Kind.CREDIT for amount in amounts]
    return Bill(
        subscription,
        "USD",
        tuple(Line(kind, "test", money(amount), period) for kind, amount in zip(kinds, amounts, strict=True)),
    )


def test_an_invoice_is_numbered_open_and_adds_up(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    assert (invoice.number, invoice.status, invoice.total, invoice.issued_at) == ("INV-000001", "open", 99, START)
    assert lines(invoice) == [("base", 99)]
    assert invoice.due == 99
    assert_explained(sold)


def test_no_bills_take_no_number() -> None:
    assert issuing.issue([], START) == []
    assert take_numbers("INV", 1) == ["INV-000001"]


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


def test_a_credit_note_lowers_an_unpaid_invoice(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    note = credit_notes.credit(invoice, money(40), "outage", LATER)
    assert (note.number, invoice.due, ledger.balance(sold.account_id, "USD")) == ("CN-000001", 59, 0)
    assert_explained(sold)


def test_only_what_was_paid_becomes_balance(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    payments.pay(invoice, money(70), LATER, "x")
    credit_notes.credit(invoice, money(99), "all of it", LATER)
    assert (invoice.status, invoice.due) == ("paid", 0)
    assert ledger.balance(sold.account_id, "USD") == 70
    assert_explained(sold)


def test_credit_notes_end_at_what_was_billed(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay_in_full(invoice, LATER)
    credit_notes.credit(invoice, money(60), "a", LATER)
    with refuses(BillingError, r"between 0 and 39\.00 USD"):
        credit_notes.credit(invoice, money("39.01"), "b", LATER)
    credit_notes.credit(invoice, money(39), "b", LATER)
    with refuses(BillingError, r"between 0 and 0\.00 USD"):
        credit_notes.credit(invoice, money("0.01"), "c", LATER)
    assert_explained(sold)


def test_what_a_change_of_plan_credited_is_not_credited_again(sold: Subscription, low: Plan) -> None:
    (first,) = invoices(sold)
    pay_in_full(first, START)
    hand_over(sold, low, START)
    assert ledger.balance(sold.account_id, "USD") == 70
    with refuses(BillingError, r"between 0 and 29\.00 USD"):
        credit_notes.credit(first, money(30), "twice?", LATER)
    credit_notes.credit(first, money(29), "the rest", LATER)
    assert ledger.balance(sold.account_id, "USD") == 99
    assert_explained(sold)


def test_what_was_paid_with_a_balance_can_be_credited(sold: Subscription) -> None:
    (first,) = invoices(sold)
    pay_in_full(first, START)
    credit_notes.credit(first, money(50), "outage", LATER)
    (second,) = issuing.issue([bill(sold, 40)], LATER)
    assert (lines(second), second.status) == ([("charge", 40), ("balance", -40)], "paid")
    assert ledger.balance(sold.account_id, "USD") == 10
    credit_notes.credit(second, money(40), "outage", LATER)
    assert ledger.balance(sold.account_id, "USD") == 50
    assert_explained(sold)


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


def test_a_void_invoice_was_never_billed(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    credit_notes.void(invoice, LATER)
    assert (invoice.status, invoice.due, InvoiceLine.objects.within(sold, sold.periods.get().period).net()) == (
        "void",
        0,
        0,
    )
    with refuses(BillingError, "only an open invoice is paid"):
        payments.pay(invoice, money(1), LATER, "x")
    with refuses(BillingError, "only an issued invoice is credited"):
        credit_notes.credit(invoice, money(1), "x", LATER)
    with refuses(BillingError, "only an open invoice is voided"):
        credit_notes.void(invoice, LATER)
    assert_explained(sold)


def test_an_invoice_that_was_paid_or_credited_in_part_is_not_voided(sold: Subscription, low: Plan) -> None:
    (invoice,) = invoices(sold)
    payments.pay(invoice, money(1), LATER, "x")
    with refuses(BillingError, "issue a credit note instead"):
        credit_notes.void(invoice, LATER)
    other = make_subscription(low, START)
    hand_over(other, make_plan("mid", 49, 1), LATER)
    (base, _) = invoices(other)
    credit_notes.void(base, LATER)
    assert_explained(other)


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
