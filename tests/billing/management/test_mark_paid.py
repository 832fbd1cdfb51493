"""manage.py mark_paid."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from billing.invoicing import credit_notes
from billing.models import Invoice, MoneyIn, Payment, Subscription
from billing.payments.reversals import reverse
from tests.billing.ledger import assert_explained
from tests.billing.payments.money import invoiced
from tests.billing.sale import sell
from tests.cast import Customer
from tests.clock import moved_by_hand

pytestmark = pytest.mark.django_db
NUMBER = "INV-000001"


def mark_paid(*arguments: str) -> str:
    out = io.StringIO()
    call_command("mark_paid", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> str:
    before = list(Payment.objects.values())
    with pytest.raises(CommandError) as error:
        mark_paid(*arguments)
    assert list(Payment.objects.values()) == before
    return str(error.value)


@pytest.fixture
def clock(customer: Callable[..., Customer]) -> Iterator[Any]:
    """Bob owes 29.00 USD since October 1st."""
    with moved_by_hand("2025-10-01T00:00:00Z") as clock:
        customer("bob", "starter")
        clock.move_to("2025-10-16T12:00:00Z")
        yield clock


def test_all_that_is_due_was_received_now(clock: Any) -> None:
    assert mark_paid(NUMBER) == (
        f"{NUMBER}: 29.00 USD received (mark_paid {NUMBER} 2025-10-16T12:00:00Z), 0.00 USD still due, paid\n"
    )
    (payment,) = Payment.objects.all()
    assert (payment.amount, payment.paid_at) == (29, datetime(2025, 10, 16, 12, tzinfo=UTC))
    assert Invoice.objects.get().status == Invoice.Status.PAID


def test_a_part_leaves_the_rest_due(clock: Any) -> None:
    told = mark_paid(NUMBER, "--amount", "10", "--at", "2025-10-15", "--reference", " bank 7 ")
    assert told == f"{NUMBER}: 10.00 USD received (bank 7), 19.00 USD still due, open\n"
    assert Payment.objects.get().paid_at == datetime(2025, 10, 15, tzinfo=UTC)
    assert "0.00 USD still due, paid" in mark_paid(NUMBER)


def test_the_same_reference_is_the_same_payment(clock: Any) -> None:
    for _ in range(2):
        assert "19.00 USD still due" in mark_paid(NUMBER, "--amount", "10", "--reference", "bank 7")
    assert Payment.objects.count() == 1
    assert "received (bank 7) before; nothing was added" in mark_paid(NUMBER, "--reference", "bank 7")
    assert "give another reference" in refused(NUMBER, "--amount", "9", "--reference", "bank 7")


def test_two_payments_without_a_reference_are_two(clock: Any) -> None:
    mark_paid(NUMBER, "--amount", "10")
    clock.tick()
    assert "9.00 USD still due" in mark_paid(NUMBER, "--amount", "10")


def test_nothing_more_is_due_on_an_invoice_that_is_paid(clock: Any) -> None:
    mark_paid(NUMBER)
    clock.tick()
    assert "is paid, nothing is due" in refused(NUMBER)


def test_money_beyond_what_is_due_goes_to_other_invoices_and_the_balance(clock: Any) -> None:
    subscription = Subscription.objects.get()
    invoiced(subscription, 10, "2025-10-05")
    told = mark_paid(NUMBER, "--amount", "45", "--reference", "bank 7")
    went = "29.00 USD to INV-000001, 10.00 USD to INV-000002, 6.00 USD to the balance"
    assert told == f"{NUMBER}: 45.00 USD received (bank 7), 0.00 USD still due, paid; it went: {went}\n"
    assert "it went: 1.00 USD to the balance" in mark_paid(NUMBER, "--amount", "1", "--reference", "bank 8")
    assert_explained(subscription)


def test_money_that_was_taken_back_is_told_of(clock: Any) -> None:
    mark_paid(NUMBER, "--reference", "bank 7")
    reverse(MoneyIn.objects.get(), Decimal(29), "a mistake", "r", datetime.now(UTC))
    told = mark_paid(NUMBER, "--reference", "bank 7")
    assert "before; nothing was added, 29.00 USD still due, open; it went: nowhere, all of it was taken back" in told


def test_a_date_long_before_the_invoice_is_asked_about(clock: Any) -> None:
    at = ("--at", "2025-08-30T23:59:59Z")
    assert refused(NUMBER, *at) == (
        "--at 2025-08-30T23:59:59Z is long before INV-000001 was issued (2025-10-01); if it is right: --confirm-date"
    )
    assert "19.00 USD still due" in mark_paid(NUMBER, "--amount", "10", *at, "--confirm-date")
    clock.tick()
    assert "0.00 USD still due" in mark_paid(NUMBER, "--at", "2025-08-31")


def test_an_invoice_that_there_is_not(clock: Any) -> None:
    assert refused("INV-000009") == "there is no invoice INV-000009"
    assert refused("") == "there is no invoice "


def test_amounts_that_are_none(clock: Any) -> None:
    for amount in ("ten", "", "NaN", "Infinity", "-Infinity", "sNaN", "10,00"):
        assert refused(NUMBER, f"--amount={amount}").startswith("--amount")
    for amount in ("0", "-1", "10.001", "1e-50", "1e14", "1e30"):
        assert "no amount of money" in refused(NUMBER, f"--amount={amount}")
    assert "still due, paid" in mark_paid(NUMBER, "--amount=2.9e1")


def test_times_that_are_none_or_to_come(clock: Any) -> None:
    for at in ("yesterday", "", "2025-13-01", "2025-10-16T12:00:01Z"):
        assert refused(NUMBER, f"--at={at}").startswith("--at")
    assert "paid" in mark_paid(NUMBER, "--at", "2025-10-16T12:00:00Z")


def test_references_that_are_none(clock: Any) -> None:
    for reference in ("", " ", "x" * 201):
        assert refused(NUMBER, f"--reference={reference}").startswith("--reference")
    assert "paid" in mark_paid(NUMBER, "--reference", "x" * 200)


def test_a_credit_note_lowers_what_is_due(clock: Any) -> None:
    credit_notes.credit(Invoice.objects.get(), Decimal(9), "goodwill", datetime.now(UTC))
    assert "20.00 USD received" in mark_paid(NUMBER)


def test_in_currencies_of_no_and_of_three_decimals(customer: Callable[..., Customer]) -> None:
    sell("tokyo", "2900", currency="JPY")
    sell("kuwait", "8.750", currency="KWD")
    customer("tomoko", "tokyo")
    customer("khalid", "kuwait")
    assert "1000 JPY received" in mark_paid(NUMBER, "--amount", "1000")
    assert "0.5 JPY is no amount of money" in refused(NUMBER, "--amount", "0.5")
    assert "0.001 KWD received" in mark_paid("INV-000002", "--amount", "0.001")
    assert "8.749 KWD received" in mark_paid("INV-000002")
