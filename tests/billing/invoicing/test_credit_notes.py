"""Credit notes and void invoices: what they lower, and where they end."""

from __future__ import annotations

import pytest

from billing.invoicing import credit_notes, issuing, ledger
from billing.invoicing.ledger import BillingError
from billing.models import InvoiceLine, Plan, Subscription
from tests.billing.ledger import assert_explained, bill, hand_over, invoices, lines, pay, pay_in_full
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, LATER = at("2025-10-01"), at("2025-10-16")


def test_a_credit_note_lowers_an_unpaid_invoice(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    note = credit_notes.credit(invoice, money(40), "outage", LATER)
    assert (note.number, invoice.due, ledger.balance(sold.account_id, "USD")) == ("CN-000001", 59, 0)
    assert_explained(sold)


def test_only_what_was_paid_becomes_balance(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(invoice, money(70), LATER, "x")
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


def test_a_void_invoice_was_never_billed(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    credit_notes.void(invoice, LATER)
    left = InvoiceLine.objects.of_period(sold.periods.get()).net()
    assert (invoice.status, invoice.due, left) == ("void", 0, 0)
    with refuses(BillingError, "only an open invoice is paid"):
        pay(invoice, money(1), LATER, "x")
    with refuses(BillingError, "only an issued invoice is credited"):
        credit_notes.credit(invoice, money(1), "x", LATER)
    with refuses(BillingError, "only an open invoice is voided"):
        credit_notes.void(invoice, LATER)
    assert_explained(sold)


def test_an_invoice_that_was_paid_or_credited_in_part_is_not_voided(sold: Subscription, low: Plan) -> None:
    (invoice,) = invoices(sold)
    pay(invoice, money(1), LATER, "x")
    with refuses(BillingError, "issue a credit note instead"):
        credit_notes.void(invoice, LATER)
    other = make_subscription(low, START)
    hand_over(other, make_plan("mid", 49, 1), LATER)
    (base, _) = invoices(other)
    credit_notes.void(base, LATER)
    assert_explained(other)
