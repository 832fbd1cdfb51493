"""Staff at money that goes out again: what is taken back, recorded elsewhere, or paid out from a balance."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry

from billing.invoicing import ledger
from billing.models import MoneyIn, Plan, Refund, Reversal, Subscription
from billing.payments import refunds
from tests.billing.admin.money_pages import confirm, errors, of_money, of_user, press
from tests.billing.ledger import assert_explained, invoices, pay
from tests.billing.payments.money import arrive
from tests.billing.staff import text_of, told
from tests.cast import Staff
from tests.factories import at, make_subscription, money

pytestmark = pytest.mark.django_db
LATER = at("2025-11-05")


# --- Taking it back


def test_it_is_taken_back_once_it_was_shown_what_that_does(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    paid = pay(invoice, money(40), LATER, "bank-7")
    page = of_money(paid, "reverse")
    assert 'name="amount" value="40.00"' in text_of(superuser.open(f"{page}/"))
    given = {"amount": "15.00", "reason": "charged back", "reference": "dp-1"}
    off = "4.00 USD off INV-000001, 11.00 USD off the balance, which is 0.00 USD then."
    done = f"15.00 USD taken back (charged back): {off}"
    assert done in text_of(press(superuser, page, **given)) and not Reversal.objects.exists()
    assert done in told(confirm(superuser, page, **given))
    assert "nothing was added" in told(press(superuser, page, **given))
    assert LogEntry.objects.count() == 1
    assert "between 0 and 25.00 USD" in errors(press(superuser, page, **given | {"amount": "26", "reference": "dp-2"}))
    confirm(superuser, page, **given | {"amount": "25", "reference": "dp-2"})
    assert "reverse/" not in text_of(superuser.open(of_money(paid, "change/")))
    assert_explained(sold)


def test_what_was_recorded_on_the_wrong_invoice_is_recorded_elsewhere(superuser: Staff, sold: Subscription) -> None:
    other = make_subscription(Plan.objects.get(code="starter"), at("2025-11-01"), "carla")
    (wrong,), (right,) = invoices(sold), invoices(other)
    paid = pay(wrong, money(29), LATER, "bank-7")
    given = {"to": right.number, "reason": "mixed up"}
    assert "29.00 USD taken back (mixed up): 29.00 USD off INV-000001" in text_of(
        press(superuser, of_money(paid, "move"), **given)
    )
    assert "Recorded again for carla: 29.00 USD to INV-000002." in told(
        confirm(superuser, of_money(paid, "move"), **given)
    )
    wrong.refresh_from_db()
    right.refresh_from_db()
    assert (wrong.due, right.due) == (29, 0)
    moved = MoneyIn.objects.get(account=other.account_id)
    assert (moved.reference, moved.received_at) == (f"bank-7 (moved from {paid.pk})", LATER)
    confirm(superuser, of_money(moved, "move"), to="bob", reason="not mixed up")
    assert MoneyIn.objects.get(amount=29, reversals=None).reference == f"bank-7 (moved from {moved.pk})"
    assert "no invoice and no customer called nobody" in errors(
        press(superuser, of_money(MoneyIn.objects.latest("pk"), "move"), to="nobody", reason="x")
    )
    assert_explained(sold)
    assert_explained(other)


def test_what_a_provider_told_of_is_not_recorded_elsewhere(superuser: Staff, sold: Subscription) -> None:
    told_of = arrive(sold.account_id, 29, source="card", reference="pi_1")
    assert of_money(told_of, "move/") not in text_of(superuser.open(of_money(told_of, "change/")))
    answer = press(superuser, of_money(told_of, "move"), to="bob", reason="x")
    assert "told by card" in errors(answer)


# --- Paying out


def test_balance_that_was_paid_out_is_noted(superuser: Staff, sold: Subscription) -> None:
    page = of_user("bob", "pay_out")
    assert f"{page}/" not in text_of(superuser.open(of_user("bob", "change") + "/")), "there is no balance"
    pay(invoices(sold)[0], money(40), LATER, "bank-7")
    assert 'value="11.00"' in text_of(superuser.open(f"{page}/"))
    given = {"currency": "USD", "amount": "5.00", "reference": "out-1", "reason": "asked for"}
    assert "5.00 USD paid out (out-1), 6.00 USD left on the balance" in told(confirm(superuser, page, **given))
    assert "nothing was added" in told(press(superuser, page, **given))
    assert "between 0 and 6.00 USD can be paid out" in errors(
        press(superuser, page, **given | {"amount": "7", "reference": "out-2"})
    )
    assert Refund.objects.count() == 1
    listed = text_of(superuser.open("billing/refund/?q=out-1"))
    assert all(part in listed for part in ("bob", "5.00 USD", "out-1", "asked for", "Succeeded"))
    assert_explained(sold)


@pytest.mark.parametrize(("action", "state", "balance"), [("note_paid", "succeeded", 6), ("note_failed", "failed", 11)])
def test_staff_say_how_a_refund_has_ended(
    superuser: Staff, sold: Subscription, action: str, state: str, balance: int
) -> None:
    pay(invoices(sold)[0], money(40), LATER, "bank-7")
    refund = refunds.request(sold.account_id, "USD", money(5), "card", "asked for", LATER)
    page = f"billing/refund/{refund.pk}"
    assert f"{action}/" in text_of(superuser.open(f"{page}/change/"))
    press(superuser, f"{page}/{action}")
    refund.refresh_from_db()
    assert (refund.state, ledger.balance(sold.account_id, "USD")) == (state, balance)
    assert f"{action}/" not in text_of(superuser.open(f"{page}/change/"))
    press(superuser, f"{page}/note_paid")
    press(superuser, f"{page}/note_failed")
    refund.refresh_from_db()
    assert (refund.state, LogEntry.objects.count()) == (state, 1)
