"""manage.py erase_account: whom it means, what it would meet, and what it refuses."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.cast import Customer
from tests.usage.traces import MARK, told_of
from usage.models import RetiredMonth

pytestmark = pytest.mark.django_db(transaction=True)


def run(*args: str) -> str:
    out = StringIO()
    call_command("erase_account", *args, stdout=out, stderr=StringIO())
    return out.getvalue()


def test_a_dry_run_says_what_it_would_meet(zyxwina: Customer) -> None:
    said = run(MARK, "--dry-run")
    assert "2 API keys" in said
    assert "1 invoices and 0 credit notes stay" in said
    assert User.objects.get(pk=zyxwina.account).username == MARK


def test_by_name_or_number(zyxwina: Customer, alice: Customer) -> None:
    RetiredMonth.objects.create(starts_at=datetime(2090, 1, 1, tzinfo=UTC), file="/exports/2090_01.csv.gz")
    assert "left to you: the export /exports/2090_01.csv.gz" in run(MARK, "--yes")
    assert told_of(MARK) == []
    run(str(alice.account), "--yes")
    assert not User.objects.filter(username="alice").exists()


def test_a_number_that_is_a_name_as_well_names_two(alice: Customer, bob: Customer) -> None:
    User.objects.filter(pk=bob.account).update(username=str(alice.account))
    for said in (f"--id {bob.account} or --id {alice.account}",):
        with pytest.raises(CommandError, match=said):
            run(str(alice.account), "--dry-run")
    assert f"alice (account {alice.account})" in run("--id", str(alice.account), "--dry-run")
    assert f"(account {bob.account})" in run("--id", str(bob.account), "--dry-run")


def test_what_is_refused_is_one_line(bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandError, match="there is no user nobody"):
        run("nobody")
    with pytest.raises(CommandError, match="Something is due on INV-000001"):
        run("bob", "--yes")
    monkeypatch.setattr("sys.stdin", StringIO("no\n"))
    with pytest.raises(CommandError, match="nothing was erased"):
        run("bob", "--yes-open-invoices")
    assert "is erased" in run("bob", "--yes", "--yes-open-invoices")
