"""Staff at money: they see what an action does before it is done, and where money lies."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User

from billing.models import Invoice, MoneyIn, Plan, Reversal, Subscription
from billing.payments import refunds
from billing.payments.reversals import reverse
from tests.billing.admin.money_pages import SEEN, confirm, errors, of_money, of_user, press
from tests.billing.ledger import assert_explained, invoices, pay
from tests.billing.payments.money import arrive, invoiced, parts
from tests.billing.staff import text_of, told
from tests.cast import Staff
from tests.factories import at, make_subscription, money

pytestmark = pytest.mark.django_db
LATER = at("2025-11-05")
SENT = {"amount": "40.00", "currency": "usd", "received_on": "2025-11-09", "reference": "bank-7"}


# --- Noting what came


def test_more_than_is_due_is_shown_before_it_is_noted(superuser: Staff, sold: Subscription) -> None:
    (invoice,) = invoices(sold)
    invoiced(sold, 10, "2025-11-02")
    given = {"amount": "45.00", "received_on": "2025-11-09", "reference": "bank-7"}
    page = f"billing/invoice/{invoice.pk}/pay"
    went = "29.00 USD to INV-000001, 10.00 USD to INV-000002, 6.00 USD to the balance"
    assert went in text_of(press(superuser, page, **given))
    assert not MoneyIn.objects.exists() and not LogEntry.objects.exists(), "looking does nothing"
    assert f"45.00 USD received (bank-7): {went}." in told(confirm(superuser, page, **given))
    assert parts(MoneyIn.objects.get()) == [("INV-000001", 29), ("INV-000002", 10)]
    assert_explained(sold)


def test_what_is_different_meanwhile_is_shown_again(superuser: Staff, sold: Subscription) -> None:
    page = f"billing/invoice/{invoices(sold)[0].pk}/pay"
    given = {"amount": "45.00", "received_on": "2025-11-09", "reference": "bank-7"}
    seen = SEEN.search(text_of(press(superuser, page, **given)))
    assert seen is not None
    invoiced(sold, 10, "2025-11-02")
    again = text_of(press(superuser, page, **given, seen=seen[1]))
    assert "10.00 USD to INV-000002" in again and not MoneyIn.objects.exists()


def test_a_date_long_before_the_invoice_is_confirmed(superuser: Staff, sold: Subscription) -> None:
    page = f"billing/invoice/{invoices(sold)[0].pk}/pay"
    given = {"amount": "9.00", "received_on": "2025-09-01", "reference": "bank-7"}
    asked = press(superuser, page, **given)
    assert "long before INV-000001 was issued (2025-11-01)" in errors(asked)
    assert 'type="checkbox"' in text_of(asked) and not MoneyIn.objects.exists()
    assert 'type="checkbox"' not in text_of(superuser.open(f"{page}/"))
    assert "20.00 USD still due" in told(press(superuser, page, **given, date_is_right="on"))


def test_money_for_no_invoice_is_noted_at_the_customer(superuser: Staff, sold: Subscription) -> None:
    page = of_user("bob", "receive_money")
    assert f"{page}/" in text_of(superuser.open(of_user("bob", "change") + "/"))
    assert "29.00 USD to INV-000001, 11.00 USD to the balance" in told(confirm(superuser, page, **SENT))
    again = told(press(superuser, page, **SENT))
    assert "was recorded before; nothing was added. It went: 29.00 USD to INV-000001" in again
    assert "give another reference" in errors(press(superuser, page, **SENT | {"amount": "41"}))
    euros = SENT | {"currency": "EUR", "reference": "bank-8"}
    assert "40.00 EUR to the balance" in told(confirm(superuser, page, **euros))
    assert (MoneyIn.objects.count(), LogEntry.objects.count()) == (2, 2)
    assert_explained(sold)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"currency": "XXX"}, "currency", "unknown currency"),
        ({"currency": "JPY", "amount": "0.5"}, "amount", "JPY has 0 decimals"),
        ({"amount": "0"}, "amount", "above 0"),
        ({"amount": "NaN"}, "amount", "Enter a number"),
        ({"received_on": "2025-11-11"}, "received_on", "has not come"),
        ({"reference": ""}, "reference", "required"),
    ],
)
def test_wrong_money_is_named(
    superuser: Staff, sold: Subscription, fields: dict[str, str], field: str, message: str
) -> None:
    answer = press(superuser, of_user("bob", "receive_money"), **SENT | fields)
    assert list(answer.context["form"].errors) == [field]
    assert message in errors(answer) and not MoneyIn.objects.exists()


# --- Looking at it


def test_it_is_listed_with_where_it_lies(superuser: Staff, sold: Subscription) -> None:
    paid = pay(invoices(sold)[0], money(40), LATER, "bank-7")
    reverse(paid, money(15), "charged back", "dp-1", at("2025-11-06"))
    for query in ("", "?q=bank-7", "?q=bob", "?q=INV-000001", "?by=hand", "?received_at__from=2025-11-05"):
        text = text_of(superuser.open(f"billing/moneyin/{query}"))
        assert all(part in text for part in ("bank-7", "bob", "40.00 USD", "11.00 USD", "manual")), query
    assert "bank-7" not in text_of(superuser.open("billing/moneyin/?by=provider"))
    text = text_of(superuser.open(of_money(paid, "change/")))
    for part in ("25.00 USD to INV-000001", "-4.00 USD", "charged back", "dp-1", "25.00 USD"):
        assert part in text, part
    listed = text_of(superuser.open("billing/reversal/"))
    assert all(part in listed for part in ("charged back", "dp-1", "15.00 USD", "bob"))
    assert "charged back" in text_of(superuser.open(f"billing/reversal/{Reversal.objects.get().pk}/change/"))
    assert "where it lies" in text_of(superuser.open(of_user("bob", "part/money/"))).lower()


def test_money_that_no_invoice_is_going_to_use_is_found(superuser: Staff, sold: Subscription, catalogue: None) -> None:
    pay(invoices(sold)[0], money(40), LATER, "in dollars, used next")
    arrive(sold.account_id, 5, currency="EUR", reference="in euros")
    free = make_subscription(Plan.objects.get(code="community"), LATER, "fred")
    lost = arrive(free.account_id, 7, reference="of who pays nothing")
    unknown = arrive(User.objects.create_user("zoe").pk, 9, reference="of who has no plan")
    found = text_of(superuser.open("billing/moneyin/?placed=no"))
    names = ("in euros", "of who pays nothing", "of who has no plan", "in dollars, used next")
    assert [name in found for name in names] == [True, True, True, False]
    home = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text_of(superuser.open(""))))
    assert "Unplaced money 3" in home
    reverse(lost, money(7), "sent back", "r", LATER)
    refunds.note_paid_out(unknown.account_id, "USD", money(9), "out", "x", LATER)
    found = text_of(superuser.open("billing/moneyin/?placed=no"))
    assert [name in found for name in names] == [True, False, False, False]


def test_who_owes_a_balance_is_found(superuser: Staff, sold: Subscription) -> None:
    paid = pay(invoices(sold)[0], money(40), LATER, "bank-7")
    reverse(paid, money(1), "a part", "r-1", LATER)
    assert "a part" not in text_of(superuser.open("billing/reversal/?owed=yes"))
    invoiced(sold, 10, "2025-11-06")
    reverse(paid, money(1), "another part", "r-2", LATER)
    assert "another part" in text_of(superuser.open("billing/reversal/?owed=yes"))
    arrive(sold.account_id, 1)
    assert "another part" not in text_of(superuser.open("billing/reversal/?owed=yes"))
    assert "another part" in text_of(superuser.open("billing/reversal/"))


# --- Who may


def test_only_staff_who_may_change_invoices_act(clerk: Staff, sold: Subscription) -> None:
    paid = pay(invoices(sold)[0], money(40), LATER, "bank-7")
    refund = refunds.request(sold.account_id, "USD", money(5), "card", "asked for", LATER)
    pages = [
        of_user("bob", "receive_money"),
        of_user("bob", "pay_out"),
        of_money(paid, "reverse"),
        of_money(paid, "move"),
        f"billing/refund/{refund.pk}/note_paid",
    ]
    clerk.may("billing.view_moneyin", "billing.view_refund", "auth.view_user", "billing.view_invoice")
    for page in pages:
        assert press(clerk, page).status_code == 403, page
        assert f"{page}/" not in text_of(clerk.open(page.rsplit("/", 1)[0] + "/change/"))
    clerk.may("billing.change_invoice")
    for page in pages:
        assert press(clerk, page).status_code == 200, page


@pytest.mark.parametrize("model", ["moneyin", "reversal", "refund"])
def test_rows_are_not_added_changed_or_deleted(superuser: Staff, sold: Subscription, model: str) -> None:
    paid = pay(invoices(sold)[0], money(40), LATER, "bank-7")
    rows = {
        "moneyin": paid,
        "reversal": reverse(paid, money(1), "x", "r", LATER),
        "refund": refunds.request(sold.account_id, "USD", money(5), "card", "asked for", LATER),
    }
    for address in ("add", f"{rows[model].pk}/change", f"{rows[model].pk}/delete"):
        assert superuser.send(f"billing/{model}/{address}/", amount="1", post="yes").status_code == 403
    assert Invoice.objects.get().settled == 29
