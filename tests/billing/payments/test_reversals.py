"""Money is taken back by rows: what it paid is due again, and what was used of it is billed anew."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db import DatabaseError, transaction

from billing.entitlements import token_packs
from billing.invoicing import credit_notes, ledger
from billing.invoicing.ledger import BillingError
from billing.models import Invoice, MoneyIn, OutboxMessage, Payment, Reversal, Subscription, TokenPack, TokenTopUp
from billing.payments.reversals import left, reverse
from billing.subscriptions.period_end import renewal
from tests.billing.ledger import assert_explained, invoices, lines, pay, pay_in_full
from tests.billing.payments.money import arrive, invoiced, parts
from tests.billing.refuses import refuses
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
LATER, MUCH_LATER = at("2025-10-25"), at("2025-10-28")


def take_back(money_in: MoneyIn, amount: Any, reference: str = "dispute", now: datetime = LATER) -> Reversal:
    return reverse(money_in, money(amount), "a chargeback", reference, now)


def test_an_invoice_is_open_again(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "a")
    reversal = take_back(paid, 99)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due) == ("open", 99)
    assert (parts(paid), left(paid)) == ([("INV-000001", 99), ("INV-000001", -99)], 0)
    taken = Payment.objects.get(reversal=reversal)
    assert (taken.paid_at, taken.reference) == (LATER, "dispute")
    assert_explained(sold)
    pay_in_full(invoice, MUCH_LATER)
    assert invoice.status == "paid"
    assert_explained(sold)


def test_a_part_leaves_the_rest_settled(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(50), LATER, "a")
    take_back(paid, 20)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.due, left(paid)) == ("open", 69, 30)
    assert_explained(sold)


def test_what_was_settled_last_is_due_first(sold: Subscription) -> None:
    second, third = invoiced(sold, 20, "2025-10-05"), invoiced(sold, 30, "2025-10-06")
    arrived = arrive(sold.account_id, 160)
    assert arrived.to_balance == 11
    take_back(arrived, 5, "one")
    assert ledger.balance(sold.account_id, "USD") == 6
    take_back(arrived, 16, "two")
    assert (parts(arrived)[3:], ledger.balance(sold.account_id, "USD")) == ([(third.number, -10)], 0)
    take_back(arrived, 41, "three")
    assert parts(arrived)[4:] == [(third.number, -20), (second.number, -20), ("INV-000001", -1)]
    assert_explained(sold)


def test_what_else_is_on_the_balance_pays_what_is_due_again(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "a")
    arrive(sold.account_id, 60)
    take_back(paid, 99)
    invoice.refresh_from_db()
    assert (invoice.due, ledger.balance(sold.account_id, "USD")) == (39, 0)
    assert_explained(sold)


def test_what_was_used_of_it_is_owed_and_billed_next(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(130), LATER, "a")
    second = invoiced(sold, 20, "2025-10-26")
    assert (second.status, ledger.balance(sold.account_id, "USD")) == ("paid", 11)
    take_back(paid, 130, now=MUCH_LATER)
    assert ledger.balance(sold.account_id, "USD") == -20
    assert_explained(sold)
    renewal.renew_due(sold.period_ends_at)
    latest = invoices(sold)[-1]
    assert lines(latest) == [("base", 99), ("balance", 20)]
    assert (latest.total, latest.gross, ledger.balance(sold.account_id, "USD")) == (119, 99, 0)
    assert_explained(sold)


def test_money_that_comes_pays_what_is_owed_on_the_balance(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(119), LATER, "a")
    invoiced(sold, 20, "2025-10-26")
    take_back(paid, 119, now=MUCH_LATER)
    arrive(sold.account_id, 119, now=MUCH_LATER)
    invoice.refresh_from_db()
    assert (invoice.due, ledger.balance(sold.account_id, "USD")) == (0, 0)
    assert_explained(sold)


def test_a_bill_of_nothing_leaves_what_is_owed(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(119), LATER, "a")
    invoiced(sold, 20, "2025-10-26")
    take_back(paid, 119, now=MUCH_LATER)
    gives_back = invoiced(sold, -5, "2025-10-28")
    invoice.refresh_from_db()
    assert (lines(gives_back), invoice.due, ledger.balance(sold.account_id, "USD")) == ([("credit", -5)], 94, -20)
    assert_explained(sold)


def test_a_credited_invoice_is_settled_by_its_credit(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "a")
    credit_notes.credit(invoice, money(99), "sorry", LATER)
    take_back(paid, 99)
    invoice.refresh_from_db()
    assert (invoice.due, ledger.balance(sold.account_id, "USD")) == (0, 0)
    assert_explained(sold)


def test_once_it_is_due_again_an_invoice_can_be_voided(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    take_back(pay(invoice, money(99), LATER, "a"), 99)
    credit_notes.void(invoice, MUCH_LATER)
    assert_explained(sold)


def test_one_reference_is_one_reversal(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid, other = pay(invoice, money(50), LATER, "a"), pay(invoice, money(20), LATER, "b")
    first = take_back(paid, 10, "d-1")
    assert take_back(paid, 10, "d-1") == first
    with refuses(BillingError, "d-1 was recorded as 10.* USD"):
        take_back(paid, 11, "d-1")
    assert take_back(other, 10, "d-1") != first
    assert Reversal.objects.count() == 2
    assert_explained(sold)


@pytest.mark.parametrize("amount", ["0", "-1", "0.001", "40.01", "NaN"])
def test_no_more_is_taken_back_than_is_left(sold: Subscription, amount: str) -> None:
    paid = pay(invoices(sold)[0], money(50), LATER, "a")
    take_back(paid, 10)
    with refuses(BillingError, r"between 0 and 40\.00 USD of a can be taken back"):
        take_back(paid, amount, "again")
    take_back(paid, 40, "all")
    with refuses(BillingError, r"between 0 and 0\.00 USD"):
        take_back(paid, "0.01", "more")
    assert_explained(sold)


def test_money_that_was_taken_back_keeps_its_reference(sold: Subscription) -> None:
    paid = arrive(sold.account_id, 99, reference="tr-1")
    take_back(paid, 99)
    assert arrive(sold.account_id, 99, reference="tr-1") == paid
    assert invoices(sold)[0].due == 99


def test_tokens_that_were_bought_go_on_counting(db: None) -> None:
    sold = make_subscription(make_plan("limited", 0, monthly_token_quota=100), at("2025-10-01"))
    pack = TokenPack.objects.create(code="fifty", name="Fifty", tokens=50, price=9)
    bought = token_packs.buy(sold.account_id, pack, LATER)
    assert bought.invoice is not None
    paid = pay(bought.invoice, money(9), LATER, "tokens")
    bought.purchase.refresh_from_db()
    assert (top_up := bought.purchase.top_up) is not None
    take_back(paid, 9)
    pay_in_full(Invoice.objects.get(pk=bought.invoice.pk), MUCH_LATER)
    bought.purchase.refresh_from_db()
    assert bought.purchase.top_up == top_up, "neither taken away nor given twice"
    assert TokenTopUp.objects.count() == 1


def test_what_happened_is_told(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(99), LATER, "a")
    before = OutboxMessage.objects.count()
    reversal = take_back(paid, 99)
    told = list(OutboxMessage.objects.order_by("pk").values_list("kind", "payload"))[before:]
    assert told == [
        ("money.reversed", {"reversal": reversal.pk, "money_in": paid.pk}),
        ("invoice.reopened", {"invoice": invoice.pk}),
    ]


def test_the_database_keeps_what_came_and_what_was_taken_back(sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    reversal = take_back(pay(invoice, money(99), LATER, "a"), 9)
    pay_in_full(invoices(sold)[0], MUCH_LATER)
    for rows, change in (
        (MoneyIn.objects.filter(pk=reversal.money_in_id), {"amount": 1}),
        (Reversal.objects.all(), {"reason": "another"}),
        (Payment.objects.filter(reversal=reversal), {"amount": -1}),
        (type(invoice).objects.filter(pk=invoice.pk), {"status": "open"}),
        (type(invoice).objects.filter(pk=invoice.pk), {"settled": 1}),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            rows.update(**change)
        with pytest.raises(DatabaseError), transaction.atomic():
            rows._raw_delete(rows.db)
