"""Staff erase a person's data: they see what goes and stays, and agree to what is due."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User

from tests.billing.staff import text_of, told
from tests.cast import Customer, Staff
from tests.usage.traces import MARK, told_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_shows_what_goes_and_stays_and_does_it(zyxwina: Customer, superuser: Staff) -> None:
    page = f"auth/user/{zyxwina.account}/erase/"
    assert "Erase personal data" in text_of(superuser.open(f"auth/user/{zyxwina.account}/change/"))
    text = text_of(superuser.open(page))
    for kind in ("API keys", "limit overrides", "usage resets", "usage log entries with metadata"):
        assert kind in text
    answer = superuser.client.post(f"/admin/{page}", follow=True)
    assert "The ledger is kept" in told(answer)
    assert told_of(MARK) == []
    entry = LogEntry.objects.latest("pk")
    assert (entry.user, entry.object_id) == (superuser.user, str(zyxwina.account))
    assert "Personal data erased" in entry.change_message
    assert f"erased-{zyxwina.account}" in text_of(superuser.open("billing/erasure/"))


def test_an_open_invoice_has_to_be_agreed_to(bob: Customer, superuser: Staff) -> None:
    page = f"/admin/auth/user/{bob.account}/erase/"
    assert "INV-000001 open" in text_of(superuser.client.get(page))
    assert "Something is due on INV-000001" in told(superuser.client.post(page, follow=True))
    assert User.objects.get(pk=bob.account).username == "bob"
    superuser.client.post(page, {"open_invoices": "on"})
    assert User.objects.get(pk=bob.account).username == f"erased-{bob.account}"


def test_who_has_not_the_permission_sees_nothing(bob: Customer, clerk: Staff) -> None:
    clerk.may("auth.view_user", "auth.change_user", "auth.delete_user")
    assert "Erase personal data" not in text_of(clerk.open(f"auth/user/{bob.account}/change/"))
    for ask in (clerk.open, clerk.send):
        assert ask(f"auth/user/{bob.account}/erase/").status_code == 403
    clerk.may("billing.erase_account")
    assert clerk.open(f"auth/user/{bob.account}/erase/").status_code == 200


def test_nobody_brings_an_erased_account_back(alice: Customer, superuser: Staff) -> None:
    superuser.send(f"auth/user/{alice.account}/erase/")
    page = f"auth/user/{alice.account}/change/"
    assert superuser.open(page).status_code == 200
    assert superuser.send(page, username="alice", is_active="on").status_code == 403
    assert not User.objects.get(pk=alice.account).is_active


def test_staff_are_not_erased(superuser: Staff, clerk: Staff) -> None:
    assert "Erase personal data" not in text_of(superuser.open(f"auth/user/{clerk.user.pk}/change/"))
    answer = superuser.client.post(f"/admin/auth/user/{clerk.user.pk}/erase/", follow=True)
    assert "is staff" in told(answer)
