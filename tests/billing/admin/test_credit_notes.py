"""Staff credit an invoice: what is left of it at most, and once for one press."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone
from freezegun import freeze_time

from billing.invoicing import ledger
from billing.models import CreditNote, Invoice, Plan, Subscription
from tests.billing.admin.invoice_pages import credit, page, pay
from tests.billing.admin.money_pages import SEEN, errors
from tests.billing.ledger import assert_explained, hand_over, invoices, pay_in_full
from tests.billing.staff import text_of, told
from tests.cast import Staff

pytestmark = pytest.mark.django_db


def test_a_credit_note_takes_off_what_is_due_first(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    pay(superuser, invoice, "20.00")
    assert "Credit note CN-000001 over 15.00 USD: outage" in told(credit(superuser, invoice, "15.00"))
    invoice.refresh_from_db()
    assert invoice.status == Invoice.Status.PAID
    assert ledger.balance(sold.account_id, "USD") == 6
    assert_explained(sold)


def test_pressing_twice_credits_once(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    credit(superuser, invoice, "10.00")
    again = credit(superuser, invoice, "10.00", seen="29.00")
    assert "was credited since you looked" in errors(again)
    assert SEEN.findall(again.content.decode()) == ["19.00"], "sent again, it would be meant"
    assert CreditNote.objects.count() == LogEntry.objects.count() == 1
    assert "CN-000002" in told(credit(superuser, invoice, "10.00")), "the number was not lost"


@pytest.mark.parametrize(
    ("amount", "reason", "message"),
    [
        ("29.01", "outage", "between 0 and 29.00 USD can be credited"),
        ("0", "outage", "above 0"),
        ("0.001", "outage", "USD has 2 decimals"),
        ("1", "", "required"),
        ("1", "x" * 201, "at most 200"),
    ],
)
def test_a_wrong_credit_is_refused(
    superuser: Staff, sold: Subscription, amount: str, reason: str, message: str
) -> None:
    assert message in errors(credit(superuser, invoices(sold)[0], amount, reason=reason))
    assert not CreditNote.objects.exists() and not LogEntry.objects.exists()


def test_what_a_change_of_plan_has_credited_is_not_credited_again(superuser: Staff, sold: Subscription) -> None:
    first = invoices(sold)[0]
    with freeze_time("2025-11-01"):
        pay_in_full(first, timezone.now())
    hand_over(sold, Plan.objects.get(code="community"), datetime(2025, 11, 16, tzinfo=UTC))
    assert "Up to 14.50 USD can be credited" in text_of(superuser.open(page(first, "credit")))
    assert "14.50 USD can be credited" in errors(credit(superuser, first, "14.51"))
    credit(superuser, first, "14.50")
    assert_explained(sold)
    assert "credit/" not in text_of(superuser.open(page(first, "change")))
