"""Lists and pages of the admin: few queries whatever they show, and each by an index; sums; days; CSV."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from datetime import UTC, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.admin.lists import changelist
from billing.invoicing import credit_notes
from billing.models import AccountNote, ApiKey, CreditNote, Invoice, Payment, Subscription
from tests.billing.ledger import pay_in_full
from tests.cast import Customer, Staff
from tests.factories import make_coupon
from tests.programs.population import populate

pytestmark = pytest.mark.django_db
MOST_QUERIES = 15
LARGE = "auth_user|billing_(subscription|invoice|invoiceline|payment|creditnote|balanceentry|apikey|billingperiod)"


@pytest.fixture
def rows(alice: Customer, bob: Customer, superuser: Staff) -> Staff:
    """Bob's invoice is paid, and 5 of it credited; Alice has a key, as each of the cast."""
    now = timezone.now()
    invoice = Invoice.objects.get(account=bob.account)
    pay_in_full(invoice, now)
    credit_notes.credit(invoice, Decimal(5), "goodwill", now)
    return superuser


def pages() -> Iterator[str]:
    for site in admin.site._registry.values():
        listed = f"{site.opts.app_label}/{site.opts.model_name}/"
        yield listed
        row = site.model._default_manager.order_by("-pk").first()
        if row is not None:
            yield f"{listed}{quote(row.pk)}/change/"


def test_no_page_asks_much(rows: Staff) -> None:
    asked = {}
    for page in pages():
        rows.open(page)  # what a process asks once
        with CaptureQueriesContext(connection) as queries:
            assert rows.open(page).status_code == 200, page
        # A process looks for another catalogue once a second, whatever page it draws then.
        own = [query["sql"] for query in queries if '"billing_fence"."subject" = 0' not in query["sql"]]
        if len(own) > MOST_QUERIES:
            asked[page] = [sql[-150:] for sql in own]
    assert asked == {}


@pytest.fixture
def populated(catalogue: None, superuser: Staff) -> Staff:
    populate(2_000, 4_000)
    return superuser


def searches() -> dict[str, str]:
    invoice = Invoice.objects.order_by("pk")[5:6].get()
    of_account = invoice.account.username
    lists = ("subscription", "invoice", "payment", "creditnote", "balanceentry", "apikey")
    found = {f"auth/user/?q={term}": of_account for term in (of_account, invoice.account.email)}
    found |= {f"billing/{name}/?q={of_account}": "" for name in lists}
    found |= {f"billing/{name}/": "" for name in lists} | {"auth/user/": ""}
    payment, note = Payment.objects.latest("pk"), CreditNote.objects.latest("pk")
    found[f"billing/payment/?q={payment.reference}"] = payment.reference
    found[f"billing/creditnote/?q={note.number.lower()}"] = note.number
    found[f"billing/apikey/?q={ApiKey.objects.first().prefix}"] = ""  # type: ignore[union-attr]
    found["billing/invoice/?status__exact=open"] = found["billing/subscription/?parked=yes"] = ""
    found["billing/invoice/?issued_at__from=2020-01-01&issued_at__to=2020-02-01"] = ""
    found["billing/invoice/?o=-1"] = ""
    return found | {f"billing/invoice/?q={invoice.number}": str(invoice.number)}


def test_searches_and_orders_use_indexes(populated: Staff) -> None:
    read: dict[str, str] = {}
    for page, text in searches().items():
        with CaptureQueriesContext(connection) as queries:
            shown = populated.open(page).content.decode()
        assert text in shown, page
        for sql in {query["sql"] for query in queries if query["sql"].startswith("SELECT")}:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")
                cursor.execute("EXPLAIN " + sql.replace("%", "%%"), [])
                plan = "\n".join(line for (line,) in cursor.fetchall())
            if re.search(rf"Seq Scan on ({LARGE})\b", plan):
                read[f"{page}: {sql}"] = plan
    assert read == {}


def test_pages_are_counted_up_to_a_bound(rows: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelist, "MOST_COUNTED", 1)
    shown = rows.open("billing/subscription/").content.decode()
    assert "The first 1 rows" in shown


def test_what_is_filtered_is_summed(rows: Staff) -> None:
    shown = rows.open("billing/invoice/?status__exact=paid").content.decode()
    assert re.search(r"Sum of total <strong[^>]*>29.00 USD<", shown)
    assert re.search(r"Sum of amount <strong[^>]*>5.00 USD<", rows.open("billing/creditnote/?q=bob").content.decode())
    assert re.search(r"Sum of amount <strong[^>]*>29.00 USD<", rows.open("billing/payment/?q=bob").content.decode())
    assert "Sum of" not in rows.open("billing/invoice/").content.decode().split('id="list-foot"')[1]
    assert rows.open("billing/invoice/?q=nobody").status_code == 200


def test_more_than_can_be_summed_is_said(rows: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changelist, "MOST_SUMMED", 0)
    assert "Too many rows to sum" in rows.open("billing/invoice/?status__exact=paid").content.decode()


def test_days_are_in_utc_and_both_included(rows: Staff) -> None:
    invoice = Invoice.objects.get(account__username="bob")
    assert invoice.issued_at
    day = invoice.issued_at.astimezone(UTC).date()
    before, after = day - timedelta(days=1), day + timedelta(days=1)

    def found(days: str) -> bool:
        return str(invoice.number) in rows.open(f"billing/invoice/?{days}").content.decode().split('id="list-foot"')[0]

    assert found(f"issued_at__from={day}&issued_at__to={day}")
    assert not found(f"issued_at__to={before}") and not found(f"issued_at__from={after}")
    for strange in ("", "yesterday", "0001-01-01", "9999-12-31", "%00"):
        assert rows.open(f"billing/invoice/?issued_at__from={strange}").status_code in (200, 400)


def table(response: Any) -> list[list[str]]:
    return list(csv.reader(b"".join(response.streaming_content).decode().splitlines()))


def test_a_list_is_exported_as_it_is_filtered(rows: Staff, bob: Customer) -> None:
    response = rows.open("billing/invoice/?status__exact=paid&_csv=1")
    assert response["Content-Type"].startswith("text/csv") and "no-store" in response["Cache-Control"]
    head, *lines = table(response)
    line = dict(zip(head, lines[0], strict=True))
    assert len(lines) == 1 and line["currency"] == "USD" and line["account"] == "bob"
    assert (line["total"], line["raw total"]) == ("29.00 USD", "29.00")
    assert [*table(rows.open("billing/invoice/?q=alice&_csv=1"))[1:]] == []
    taken = LogEntry.objects.filter(change_message__startswith="Exported as CSV")
    assert [entry.change_message for entry in taken] == [
        "Exported as CSV, filtered by nothing, searched.",
        "Exported as CSV, filtered by status__exact.",
    ]
    assert {entry.user for entry in taken} == {rows.user}


def test_a_cell_is_no_formula(rows: Staff, bob: Customer) -> None:
    User.objects.filter(pk=bob.account).update(username="=HYPERLINK(1)", email="@sum")
    cells = {cell for line in table(rows.open("auth/user/?_csv=1")) for cell in line}
    assert {"'=HYPERLINK(1)", "'@sum"} <= cells and "=HYPERLINK(1)" not in cells


def test_a_text_stays_as_it_was_written(rows: Staff, bob: Customer) -> None:
    AccountNote.objects.create(account=bob.user, text="a < b, <b>bold</b> & more")
    assert ["bob", "a < b, <b>bold</b> & more"] in [
        line[1:3] for line in table(rows.open("billing/accountnote/?_csv=1"))
    ]
    make_coupon()
    line = dict(zip(*table(rows.open("billing/coupon/?_csv=1"))[:2], strict=True))
    assert line["redeemed"] == "0", "what the list shows as a link is its text here"
    payloads = {line[-1] for line in table(rows.open("billing/outboxmessage/?_csv=1"))}
    assert f'{{"invoice": {Invoice.objects.get(account=bob.account).pk}}}' in payloads


def test_every_list_can_be_exported(rows: Staff) -> None:
    for site in admin.site._registry.values():
        response = rows.open(f"{site.opts.app_label}/{site.opts.model_name}/?_csv=1")
        head = table(response)[0]
        assert response.status_code == 200 and len(set(head)) == len(head), site


def test_whoever_may_not_see_a_list_may_not_export_it(rows: Staff, clerk: Staff) -> None:
    assert clerk.open("billing/invoice/?_csv=1").status_code == 403
    assert not LogEntry.objects.filter(user=clerk.user).exists()
    assert clerk.may("billing.view_invoice").open("billing/invoice/?_csv=1").status_code == 200


def test_the_subscription_of_a_row_is_found(rows: Staff, alice: Customer) -> None:
    row: Model = Subscription.objects.get(account=alice.account)
    assert f"/{row.pk}/change/" in rows.open("billing/subscription/?q=ali").content.decode()
