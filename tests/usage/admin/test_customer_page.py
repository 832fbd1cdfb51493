"""The customer's page in the admin: everything about one account, and every action that makes sense, in few queries."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.erasure import erase
from billing.models import AccountNote, ApiKey, BillingDetails, Invoice, LimitOverride, Member, Subscription, TokenTopUp
from tests.billing.staff import text_of
from tests.cast import Customer, Staff, call
from tests.outages import redis_gone
from usage.admin.customers.parts import PARTS
from usage.drain import drain
from usage.models import UsageReset

__all__ = ["redis_gone"]
pytestmark = pytest.mark.django_db
MOST_QUERIES = 18


def page(account: int, of: str = "change/") -> str:
    return f"auth/user/{account}/{of}"


def queries(staff: Staff, address: str) -> tuple[int, str]:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        text = text_of(staff.open(address))
    return len(asked), text


@pytest.fixture
def busy(bob: Customer) -> Customer:
    """On starter, with an open invoice, calls, an override, a top-up and a note."""
    call(bob, "graph_query")
    drain.drain()
    LimitOverride.objects.create(account=bob.user, limit="minute", maximum=77, reason="a launch")
    TokenTopUp.objects.create(account=bob.user, tokens=1234, reason="an apology")
    BillingDetails.objects.create(account=bob.user, name="Bob Ltd", country="IE")
    AccountNote.objects.create(account=bob.user, text="prefers to be called in the morning")
    return bob


def test_everything_about_a_customer_in_few_queries(superuser: Staff, busy: Customer) -> None:
    superuser.open(page(busy.account))  # what every process keeps, such as content types, is read by now
    number, text = queries(superuser, page(busy.account))
    assert number <= MOST_QUERIES
    for said in ("Starter", "29.00 USD", "renews on Starter", "in the morning", "graph_query", "Change plan now"):
        assert said in text, said
    parts = {}
    for name in PARTS:
        number, parts[name] = queries(superuser, page(busy.account, f"part/{name}/"))
        assert number <= MOST_QUERIES, name
    for said in ("497", "graph_query", "Requests per minute"):
        assert said in parts["usage"], said
    assert "INV-" in parts["money"] and "Bob Ltd" in parts["money"]
    assert "Mark as paid" in parts["money"]
    for said in ("valid", "Revoke", "77", "1,234"):
        assert said in parts["access"], said
    assert "subscription.opened" in parts["history"]
    assert f"invoice {Invoice.objects.get(account=busy.account)}" in parts["history"]


def test_who_acts_for_whom(superuser: Staff, alice: Customer, bob: Customer) -> None:
    Member.objects.create(account=alice.user, user=bob.user, role="developer", created_at=timezone.now())
    for customer in (alice, bob):
        text = text_of(superuser.open(page(customer.account, "part/access/")))
        assert "Developer" in text
        assert f"/admin/auth/user/{alice.account}/change/" in text


def test_a_part_is_a_page_of_its_own_without_a_script(superuser: Staff, bob: Customer) -> None:
    address = f"/admin/{page(bob.account, 'part/money/')}"
    assert "<html" in superuser.client.get(address).content.decode()
    fragment = superuser.client.get(address, headers={"hx-request": "true"}).content.decode()
    assert "<html" not in fragment
    assert "Mark as paid" in fragment
    assert superuser.open(page(bob.account, "part/nothing/")).status_code == 404
    assert superuser.open(page(9_999_999)).status_code == 404


def test_without_redis_the_standing_is_postgres(superuser: Staff, bob: Customer, redis_gone: None) -> None:
    text = text_of(superuser.open(page(bob.account, "part/usage/")))
    assert "PostgreSQL decides at the moment" in text
    assert "500" in text
    assert superuser.open(page(bob.account)).status_code == 200


def test_looking_at_somebody_without_a_subscription_opens_none(superuser: Staff, catalogue: None) -> None:
    user = User.objects.create_user("newcomer")
    text = text_of(superuser.open(page(user.pk)))
    assert "no subscription" in text
    assert "Start a subscription" in text
    for name in PARTS:
        assert superuser.open(page(user.pk, f"part/{name}/")).status_code == 200
    assert not Subscription.objects.exists()


def test_an_account_in_the_admin_leads_to_its_page(superuser: Staff, bob: Customer) -> None:
    """Of a subscription, an invoice, a key: Django's own link to the user."""
    subscription = Subscription.objects.get(account=bob.account)
    for address in (
        f"billing/subscription/{subscription.pk}/change/",
        f"billing/invoice/{subscription.invoices.get().pk}/change/",
        f"billing/apikey/{ApiKey.objects.get(account=bob.account).pk}/change/",
    ):
        assert f"/admin/auth/user/{bob.account}/change/" in text_of(superuser.open(address)), address


def test_the_user_s_own_fields_are_one_click_further(superuser: Staff, bob: Customer) -> None:
    edit = page(bob.account, "edit/")
    assert edit in text_of(superuser.open(page(bob.account)))
    fields = {"username": "bob", "first_name": "Robert", "last_name": "", "email": "bob@example.com", "is_active": "on"}
    assert "bob" in text_of(superuser.open(edit))
    assert superuser.send(edit, **fields).status_code == 302
    assert "Robert" in text_of(superuser.open(page(bob.account)))


def test_notes_are_added_and_go_with_the_account(superuser: Staff, clerk: Staff, alice: Customer) -> None:
    clerk.may("auth.view_user", "billing.view_accountnote", "billing.add_accountnote")
    note = page(alice.account, "note/")
    assert clerk.send(note, text="<b>likes</b> tea").status_code == 302
    text = text_of(clerk.open(page(alice.account)))
    assert "&lt;b&gt;likes&lt;/b&gt; tea" in text
    assert "clark" in text
    assert "This field is required" in text_of(clerk.send(note, text=""))
    assert "at most 2000" in text_of(clerk.send(note, text="x" * 2001))
    erase.erase(alice.account, timezone.now())
    assert not AccountNote.objects.exists()


def test_who_may_only_look_gets_no_button(clerk: Staff, bob: Customer) -> None:
    assert clerk.open(page(bob.account)).status_code == 403
    clerk.may("auth.view_user")
    text = text_of(clerk.open(page(bob.account)))
    assert "Change plan now" not in text
    assert "29.00" not in text, "nor what was sold, without the right to see it"
    assert 'aria-label="Actions"' not in text
    for part in PARTS:
        clerk.open(page(bob.account, f"part/{part}/"))
    for address in ("note/", "deactivate/", "start/"):
        assert clerk.send(page(bob.account, address), text="x").status_code == 403, address


def test_deactivated_and_activated(superuser: Staff, bob: Customer) -> None:
    assert "refused from the next request" in text_of(superuser.open(page(bob.account, "deactivate/")))
    superuser.send(page(bob.account, "deactivate/"))
    text = text_of(superuser.open(page(bob.account)))
    assert "Deactivated: calls and log-ins are refused" in text
    assert not User.objects.get(pk=bob.account).is_active
    assert "Activate" in text
    superuser.send(page(bob.account, "activate/"))
    assert User.objects.get(pk=bob.account).is_active


def test_buttons_lead_to_forms_for_this_account(superuser: Staff, alice: Customer) -> None:
    """An override, a top-up, a reset: with the account filled in."""
    call(alice, "trace_start")
    for address, fields in (
        ("billing/limitoverride/add/", {"limit": "quota", "maximum": 1000, "reason": "asked"}),
        ("billing/tokentopup/add/", {"tokens": 10, "starts_at_0": "2030-01-01", "starts_at_1": "00:00:00"}),
    ):
        link = f"/admin/{address}?account={alice.account}"
        assert link in text_of(superuser.open(page(alice.account)))
        assert f'<option value="{alice.account}" selected>alice</option>' in text_of(superuser.client.get(link))
        answer: Any = superuser.send(address, account=alice.account, **fields)
        assert answer.status_code == 302, answer.context["adminform"].errors
    assert LimitOverride.objects.filter(account=alice.account).exists()
    assert not UsageReset.objects.exists()


def test_an_erased_account_has_no_form_left(superuser: Staff, alice: Customer) -> None:
    erase.erase(alice.account, timezone.now())
    whole = text_of(superuser.open(page(alice.account)))
    whole += "".join(text_of(superuser.open(page(alice.account, f"part/{name}/"))) for name in PARTS)
    for gone in ("New note", "Add a key", "Add tokens", "Override a limit", "Reset usage"):
        assert gone not in whole, gone
    answer = superuser.client.post(f"/admin/{page(alice.account, 'note/')}", {"text": "Alice called"}, follow=True)
    assert "were erased" in answer.content.decode() and not AccountNote.objects.exists()


def test_an_erasure_that_waits_is_not_said_to_be_done(superuser: Staff, alice: Customer, redis_gone: None) -> None:
    with pytest.raises(erase.ErasureWaits):
        erase.erase(alice.account, timezone.now())
    text = text_of(superuser.open(page(alice.account)))
    assert "are being erased" in text and "were erased" not in text


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        ("billing/limitoverride/add/", {"limit": "minute", "maximum": 7}),
        ("billing/tokentopup/add/", {"tokens": 7, "starts_at_0": "2026-11-01", "starts_at_1": "00:00"}),
        ("usage/usagereset/add/", {"reason": "asked"}),
    ],
)
def test_forms_of_the_page_lead_back_to_it(superuser: Staff, busy: Customer, form: str, fields: dict[str, Any]) -> None:
    fields |= {"account": busy.account}
    assert superuser.send(f"{form}?account={busy.account}", **fields)["Location"] == f"/admin/{page(busy.account)}"
    if "usage" not in form:  # from the list they lead to the list
        assert superuser.send(form, **fields)["Location"].endswith(form.replace("add/", ""))


def test_what_staff_did_to_the_account_s_rows_is_told(superuser: Staff, bob: Customer) -> None:
    superuser.send("billing/limitoverride/add/", account=bob.account, limit="minute", maximum=7)
    superuser.send(
        "billing/tokentopup/add/", account=bob.account, tokens=8, starts_at_0="2026-11-01", starts_at_1="00:00"
    )
    superuser.send("billing/billingdetails/add/", account=bob.account, name="Bob Ltd", country="DE")
    superuser.send(f"billing/limitoverride/{LimitOverride.objects.get().pk}/delete/", post="yes")
    told = text_of(superuser.open(page(bob.account, "part/history/")))
    for row in ("8 tokens", "7 requests per minute", "Bob Ltd", "Deleted"):
        assert row in told, row


def test_nothing_follows_a_deactivated_customer(superuser: Staff, bob: Customer) -> None:
    superuser.send(page(bob.account, "deactivate/"))
    text = text_of(superuser.open(page(bob.account)))
    assert "ends 20" in text and "then Community" not in text
