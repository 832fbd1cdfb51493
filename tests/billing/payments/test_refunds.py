"""Balance is paid out: never more than there is, back on the balance where it fails, and final once it has arrived."""

from __future__ import annotations

from typing import Any

import pytest

from billing.invoicing import ledger
from billing.invoicing.ledger import BillingError
from billing.models import CreditNote, MoneyIn, OutboxMessage, Refund, Subscription
from billing.payments import refunds
from billing.payments.reversals import reverse
from tests.billing.ledger import assert_explained, invoices, pay
from tests.billing.payments.money import arrive, invoiced
from tests.billing.refuses import refuses
from tests.factories import at, money

pytestmark = pytest.mark.django_db
LATER, MUCH_LATER = at("2025-10-25"), at("2025-10-28")


@pytest.fixture
def overpaid(sold: Subscription) -> MoneyIn:
    """30.00 USD of it are balance."""
    return pay(invoices(sold)[0], money(129), LATER, "tr-1")


def request(of: MoneyIn, amount: Any, *, back: bool = False) -> Refund:
    return refunds.request(of.account_id, "USD", money(amount), "card", "asked for", LATER, of if back else None)


def balance(of: MoneyIn) -> object:
    return ledger.balance(of.account_id, "USD")


def test_balance_is_paid_out_by_hand(overpaid: MoneyIn, sold: Subscription) -> None:
    refund = refunds.note_paid_out(sold.account_id, "USD", money(20), "out-1", "asked for", LATER)
    assert (refund.state, refund.provider, refund.reference) == ("succeeded", "manual", "out-1")
    assert balance(overpaid) == 10
    assert_explained(sold)
    assert refunds.note_paid_out(sold.account_id, "USD", money(20), "out-1", "again", MUCH_LATER) == refund
    with refuses(BillingError, "out-1 was recorded as 20.* USD"):
        refunds.note_paid_out(sold.account_id, "USD", money(10), "out-1", "again", MUCH_LATER)
    assert balance(overpaid) == 10


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "30.01", "NaN"])
def test_no_more_than_the_balance_is_paid_out(overpaid: MoneyIn, sold: Subscription, amount: str) -> None:
    with refuses(BillingError, r"between 0 and 30\.00 USD can be paid out"):
        request(overpaid, amount)
    request(overpaid, 30)
    with refuses(BillingError, r"between 0 and 0\.00 USD can be paid out"):
        request(overpaid, "0.01")
    assert_explained(sold)


def test_no_more_of_money_than_came_in(overpaid: MoneyIn, sold: Subscription) -> None:
    small = arrive(sold.account_id, 10)
    with refuses(BillingError, r"between 0 and 10\.00 USD"):
        request(small, "10.01", back=True)
    reverse(small, money(4), "undone", "r", LATER)
    with refuses(BillingError, r"between 0 and 6\.00 USD"):
        request(small, "6.01", back=True)
    first = request(small, 2, back=True)
    with refuses(BillingError, r"between 0 and 4\.00 USD"):
        request(small, "4.01", back=True)
    refunds.advance(first, "failed", LATER)
    request(small, 6, back=True)
    assert_explained(sold)
    with refuses(BillingError, r"between 0 and 0 JPY"):
        refunds.request(sold.account_id, "JPY", money(1), "card", "x", LATER, small)


def test_a_refund_that_fails_is_balance_again_and_pays_what_is_due(overpaid: MoneyIn, sold: Subscription) -> None:
    refund = request(overpaid, 30)
    due = invoiced(sold, 20, "2025-10-26")
    assert due.due == 20
    refunds.advance(refund, "failed", MUCH_LATER)
    due.refresh_from_db()
    assert (due.due, balance(overpaid)) == (0, 10)
    assert_explained(sold)


@pytest.mark.parametrize(
    ("states", "end", "left"),
    [
        (["sent", "succeeded"], "succeeded", 0),
        (["unknown", "succeeded", "failed"], "succeeded", 0),
        (["sent", "unknown", "sent", "failed", "failed", "succeeded", "sent"], "failed", 30),
        (["unknown", "requested", "failed", "unknown"], "failed", 30),
        (["sent", "requested"], "sent", 0),
    ],
)
def test_states_follow_one_another_and_the_last_is_final(
    overpaid: MoneyIn, sold: Subscription, states: list[str], end: str, left: int
) -> None:
    refund = request(overpaid, 30)
    for number, state in enumerate(states):
        refunds.advance(refund, state, MUCH_LATER, f"re_{number}")
    refund.refresh_from_db()
    assert (refund.state, refund.reference, balance(overpaid)) == (end, "re_0", left)
    assert_explained(sold)


def test_an_invoice_is_refunded_by_a_credit_note_and_a_payment_out(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "tr-1")
    refund = refunds.request_for_invoice(invoice, money(40), "card", "outage", MUCH_LATER, paid)
    assert (refund.amount, refund.money_in, balance(paid)) == (40, paid, 0)
    assert CreditNote.objects.get().amount == 40
    assert_explained(sold)


def test_what_a_credit_takes_off_something_due_is_not_paid_out(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "tr-1")
    invoiced(sold, 30, "2025-10-26")
    with refuses(BillingError, r"30\.00 USD is due on open invoices"):
        refunds.request_for_invoice(invoice, money(40), "card", "outage", MUCH_LATER, paid)
    assert not CreditNote.objects.exists(), "both or neither"
    assert_explained(sold)


def test_money_that_was_paid_out_and_then_taken_back_is_owed(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "tr-1")
    refunds.advance(refunds.request_for_invoice(invoice, money(99), "card", "outage", LATER, paid), "succeeded", LATER)
    reverse(paid, money(99), "a chargeback", "d-1", MUCH_LATER)
    invoice.refresh_from_db()
    assert (invoice.due, invoice.creditable()) == (99, 0)
    assert_explained(sold)


def test_what_happened_is_told(overpaid: MoneyIn) -> None:
    before = OutboxMessage.objects.count()
    first, second = request(overpaid, 10), request(overpaid, 10)
    refunds.advance(first, "succeeded", LATER)
    refunds.advance(second, "failed", LATER)
    told = list(OutboxMessage.objects.order_by("pk").values_list("kind", "payload"))[before:]
    kinds = ["requested", "requested", "succeeded", "failed"]
    assert told == [
        (f"refund.{kind}", {"refund": refund.pk})
        for kind, refund in zip(kinds, (first, second, first, second), strict=True)
    ]
