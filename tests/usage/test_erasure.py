"""A person is erased: no table and no key of Redis says the name any more, and the ledger and every sum stay."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from billing.erasure import deletion, erase
from billing.models import (
    ApiKey,
    Erasure,
    Invoice,
    LimitOverride,
    OutboxCursor,
    OutboxMessage,
    Subscription,
    TokenTopUp,
)
from billing.subscriptions import changes, refusals
from billing.subscriptions.period_end import renewal
from billing.tasks import finish_erasures
from ratelimit.store import client as redis_client
from tests.billing.ledger import assert_explained, fresh, pay_in_full
from tests.billing.staff import text_of, told
from tests.billing.subscriptions.period_end.test_renewal_concurrency import at_once
from tests.billing.waiting import somebody_waits_for_a_row, until
from tests.cast import Customer, Staff
from tests.outages import no_redis
from tests.processes import process
from tests.usage.drifting import compared, sql
from tests.usage.histories import charge
from usage.drain import drain
from usage.log import store
from usage.log.months import exports, retention
from usage.metering.reset import reset_usage
from usage.models import RetiredMonth, SetAsideEntry, UsageLog
from usage.sync import outage

pytestmark = pytest.mark.django_db(transaction=True)
MARK = "zyxwina"
"""In every text that could name her."""


@pytest.fixture
def zyxwina(customer: Callable[..., Customer], superuser: Staff) -> Customer:
    """On pro, with every kind of row that a customer can have, and her name in each that takes a text."""
    her = customer(MARK, "business", scope="meter")
    staff = superuser
    User.objects.filter(pk=her.account).update(email=f"{MARK}@example.com", first_name=MARK, last_name=MARK.upper())
    staff.send(f"auth/user/{her.account}/change/", username=MARK, email=f"{MARK}@example.org", is_active="on")
    for invoice in Invoice.objects.filter(account=her.account):
        pay_in_full(invoice, timezone.now())
    ApiKey.issue(account=her.user, name=f"{MARK}'s laptop")
    for reason in (f"{MARK} asked", f"{MARK} asked again"):
        staff.send("billing/limitoverride/add/", account=her.account, limit="quota", maximum=10**6, reason=reason)
    LimitOverride.objects.first().delete()  # type: ignore[union-attr]
    TokenTopUp.objects.create(account=her.user, tokens=5, reason=f"for {MARK}")
    assert her.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"who": MARK}}).status_code == 200
    keyed = {"Idempotency-Key": MARK}
    for _ in range(2):
        body = {"feature": "trace_start", "metadata": {MARK: [MARK]}}
        assert her.post("/api/v1/usage/track", body, **keyed).status_code == 200
    event = her.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"b": MARK}}).json()["event"]
    assert her.api.delete(f"/api/v1/usage/events/{event}").status_code == 204
    reset_usage(her.account, timezone.now(), reason=f"{MARK} called", by="sue")
    reset_by = her.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"c": MARK}})
    assert reset_by.status_code == 200
    assert her.post("/api/v1/billing/cancel", {"reason": f"{MARK} leaves"}, **keyed).status_code == 200
    sql("UPDATE billing_storedanswer SET body = %s", f'{{"message": "{MARK}"}}')
    browser = Client()
    browser.force_login(her.user)
    text = json.dumps([1, "x", "charge", her.account, 1, 2, "risk_score", 5, 3, "track", "", {"d": MARK}]).encode()
    SetAsideEntry.objects.create(shard=1, stream_id="1-1", payload=text, error="no id")
    OutboxCursor.objects.create(
        consumer="mail",
        account=her.user,
        delivered=0,
        latest=9,
        due_at=timezone.now(),
        error=f"{MARK}@example.com bounced",
    )
    return her


def tables() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        return [name for (name,) in cursor.fetchall()]


def told_of(mark: str) -> list[str]:
    """The tables and the keys of Redis in which the text stands: as text, in bytes, or in a name."""
    found = []
    with connection.cursor() as cursor:
        for table in tables():
            # As a whole row is written out: bytes are in hexadecimal digits there.
            cursor.execute(
                f"SELECT count(*) FROM {table} AS of WHERE of::text ILIKE %s OR of::text ILIKE %s",
                [f"%{mark}%", f"%{mark.encode().hex()}%"],
            )
            if cursor.fetchone()[0]:
                found.append(table)
    redis: Any = redis_client()
    for key in redis.scan_iter():
        read = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"list": lambda key: redis.lrange(key, 0, -1),
            b"set": redis.smembers,
            b"zset": lambda key: redis.zrange(key, 0, -1),
            b"stream": redis.xrange,
        }[redis.type(key)]
        if mark in repr((key, read(key))).casefold():
            found.append(key.decode())
    return found


def test_no_table_and_no_key_says_her_name(zyxwina: Customer) -> None:
    subscription = Subscription.objects.get(account=zyxwina.account)
    before = told_of(MARK)
    for table in ("auth_user", "billing_apikey", "billing_historicallimitoverride", "billing_storedanswer"):
        assert table in before, "or the test would show nothing"
    assert {"usage_receipt", "usage_setasideentry", "usage_usagereset", "django_admin_log"} <= set(before)
    assert any(":i:" in each for each in before), "an answer that Redis keeps"
    assert any(":events" in each for each in before), "a call that waits in a stream"
    logged = UsageLog.objects.filter(account=zyxwina.account)
    erasure = erase.erase(zyxwina.account, timezone.now())
    assert told_of(MARK) == []
    assert erasure.finished_at is not None
    assert zyxwina.post("/api/v1/usage/track", {"feature": "risk_score"}).status_code == 401
    user = User.objects.get(pk=zyxwina.account)
    assert (user.username, user.is_active, user.has_usable_password()) == (f"erased-{user.pk}", False, False)
    assert not ApiKey.objects.filter(account=user, revoked=False).exists()
    assert all(session.get_decoded().get("_auth_user_id") != str(user.pk) for session in Session.objects.all())
    assert (fresh(subscription).is_live, Subscription.objects.filter(account=user).count()) == (False, 1)
    assert_explained(subscription)
    assert sum(row.tokens for row in logged) == 2, "what was used since the reset: the log has all of it"
    assert compared()[0] == []


def test_what_is_left_bills_nothing_and_others_are_untouched(zyxwina: Customer, bob: Customer) -> None:
    key = ApiKey.objects.get(account=bob.account)
    bob.post("/api/v1/usage/track", {"feature": "risk_score", "metadata": {"kept": True}})
    erase.erase(zyxwina.account, timezone.now())
    issued = Invoice.objects.filter(account=zyxwina.account).count()
    renewal.renew_due(datetime(2100, 1, 1, tzinfo=UTC))
    assert Invoice.objects.filter(account=zyxwina.account).count() == issued
    drain.drain()
    assert UsageLog.objects.get(account=bob.account).metadata == {"kept": True}
    key.refresh_from_db()
    assert (key.name, key.revoked, User.objects.get(pk=bob.account).username) == ("bob's key", False, "bob")


def test_it_is_told_and_kept_who_asked(zyxwina: Customer, superuser: Staff) -> None:
    erasure = erase.erase(zyxwina.account, timezone.now(), superuser.user.pk)
    message = OutboxMessage.objects.get(kind="account.erased")
    assert (message.account_id, message.payload) == (zyxwina.account, {"erasure": erasure.pk})
    assert Erasure.objects.get().asked_by == superuser.user


def test_staff_and_those_who_owe_are_not_erased(zyxwina: Customer, bob: Customer, superuser: Staff) -> None:
    with pytest.raises(erase.ErasesNoStaff):
        erase.erase(superuser.user.pk, timezone.now())
    with pytest.raises(erase.OpenInvoices):
        erase.erase(bob.account, timezone.now())
    assert User.objects.get(pk=bob.account).is_active
    erase.erase(bob.account, timezone.now(), with_open_invoices=True)
    assert Invoice.objects.get(account=bob.account).status == Invoice.Status.OPEN
    live = Subscription.objects.get(account=zyxwina.account)
    with transaction.atomic():
        live.park("odd", timezone.now())
    with pytest.raises(refusals.UnderReview):
        erase.erase(zyxwina.account, timezone.now())
    assert User.objects.get(pk=zyxwina.account).username == MARK


def test_former_staff_leave_no_name_in_what_they_did(alice: Customer, bob: Customer) -> None:
    alice.post("/api/v1/usage/track", {"feature": "risk_score"})
    reset = reset_usage(alice.account, timezone.now(), reason="asked", by="bob")
    erase.erase(bob.account, timezone.now(), with_open_invoices=True)
    reset.refresh_from_db()
    assert (reset.reset_by, reset.reason) == (f"erased-{bob.account}", "asked")


def test_without_redis_it_waits_and_goes_on(zyxwina: Customer, settings: Any) -> None:
    with no_redis(settings), pytest.raises(erase.ErasureWaits):
        erase.erase(zyxwina.account, timezone.now())
    assert not User.objects.get(pk=zyxwina.account).is_active, "nobody calls meanwhile"
    assert Erasure.objects.get().finished_at is None
    assert outage.breaker.attempt()
    finish_erasures()
    assert told_of(MARK) == []


def test_done_again_it_finds_what_came_since(zyxwina: Customer) -> None:
    erase.erase(zyxwina.account, timezone.now())
    late = charge(zyxwina.account)._replace(metadata={"late": MARK})
    store.store([late])
    assert told_of(MARK)
    erase.erase(zyxwina.account, timezone.now())
    assert told_of(MARK) == []
    assert Erasure.objects.count() == OutboxMessage.objects.filter(kind="account.erased").count() == 2


def test_several_at_once(zyxwina: Customer) -> None:
    answers = at_once(*[lambda: erase.erase(zyxwina.account, timezone.now())] * 4)
    assert all(isinstance(answer, Erasure) for answer in answers), answers
    assert told_of(MARK) == []
    assert OutboxMessage.objects.filter(kind="account.erased").count() == Erasure.objects.count()
    assert OutboxMessage.objects.filter(kind="subscription.ended").count() == 1


class TestTheLog:
    @pytest.fixture(autouse=True)
    def folder(self, settings: Any, tmp_path: Path) -> Iterator[None]:
        settings.USAGE_LOG_EXPORTS = tmp_path
        yield
        for table in [table for table in tables() if table.startswith("usage_usagelog_2004")]:
            sql(f"DROP TABLE {table}")

    def test_months_beside_the_log_are_emptied_too(self, alice: Customer) -> None:
        at_ms = round(datetime(2004, 1, 5, tzinfo=UTC).timestamp() * 1000)
        store.store([charge(alice.account, at_ms=at_ms)._replace(metadata={"who": MARK})])
        retention.retire(datetime(2005, 3, 15, tzinfo=UTC), lambda _: None, drop=False)
        exports.read_back(Path(RetiredMonth.objects.get().file))
        assert told_of(MARK) == ["usage_usagelog_2004_01", "usage_usagelog_2004_01_restored"]
        erase.erase(alice.account, timezone.now())
        assert told_of(MARK) == []

    @pytest.mark.parametrize(
        "change",
        [
            "tokens = 0",
            "metadata = NULL, tokens = 0",
            """metadata = '{"a": 1}'""",
            "metadata = NULL, account_id = 1",
            "metadata = NULL, key_prefix = 'x'",
        ],
    )
    def test_nothing_else_is_let_go(self, alice: Customer, change: str) -> None:
        store.store([charge(alice.account)._replace(metadata={"who": MARK})])
        statement = f"UPDATE usage_usagelog SET {change} WHERE account_id = %s"
        begun = erase.begin(alice.account, timezone.now())
        with pytest.raises(IntegrityError, match="append-only"):
            sql(statement, alice.account)
        with pytest.raises(IntegrityError, match="append-only"):
            sql("DELETE FROM usage_usagelog WHERE account_id = %s", alice.account)
        erase.go_on(begun, timezone.now())

    def test_only_while_an_erasure_of_that_account_goes_on(self, alice: Customer, bob: Customer) -> None:
        for customer in (alice, bob):
            store.store([charge(customer.account)._replace(metadata={"who": MARK})])
        erase.begin(alice.account, timezone.now())
        with pytest.raises(IntegrityError, match="append-only"):
            sql("UPDATE usage_usagelog SET metadata = NULL WHERE account_id = %s", bob.account)
        finish_erasures()
        store.store([charge(alice.account)._replace(metadata={"who": MARK})])
        with pytest.raises(IntegrityError, match="append-only"):
            sql("UPDATE usage_usagelog SET metadata = NULL WHERE account_id = %s", alice.account)


ERASER = """
import os
import django
django.setup()
from django.utils import timezone
from billing.erasure import deletion, erase
from tests.processes import at_statements, killing_at
with at_statements(killing_at(int(os.environ["KILLED_AT"]))):
    erase.erase(int(os.environ["ACCOUNT"]), timezone.now())
"""


@pytest.mark.parametrize("work", ["erase", "delete"])
def test_who_writes_at_that_moment_is_waited_for(alice: Customer, work: str) -> None:
    """Whoever writes for an account holds its subscription, and then takes the user and the fence."""
    now, has_it = timezone.now(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            changes.locked(alice.account, now)
            has_it.set()
            until(somebody_waits_for_a_row)
            LimitOverride(account=alice.user, limit="minute", maximum=5).save()

    def end() -> None:
        has_it.wait()
        if work == "erase":
            erase.erase(alice.account, now)
        else:
            deletion.delete_user(User.objects.get(pk=alice.account))

    assert at_once(write, end) == [None, None]
    assert not User.objects.filter(username="alice").exists()


def test_killed_at_points_all_along_it_is_finished(zyxwina: Customer) -> None:
    killed = 0
    for point in (3, 17, 34, 48, 61, 77, 91, 10_000):
        given = {"ACCOUNT": str(zyxwina.account), "KILLED_AT": str(point), "REDIS_URL": str(settings.REDIS_URL)}
        with process("-c", ERASER, **given) as running:
            _, errors = running.communicate(timeout=60)
        if running.returncode == 0:
            break
        assert running.returncode == -signal.SIGKILL, errors
        killed += 1
        if Erasure.objects.exclude(finished_at=None).exists():
            break  # killed as it told of it: another run would be another erasure
    assert killed >= 4
    finish_erasures()
    assert told_of(MARK) == []
    assert OutboxMessage.objects.filter(kind="account.erased").count() == Erasure.objects.count() == 1
    assert OutboxMessage.objects.filter(kind="subscription.ended").count() == 1


class TestTheAdmin:
    def test_it_shows_what_goes_and_stays_and_does_it(self, zyxwina: Customer, superuser: Staff) -> None:
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

    def test_an_open_invoice_has_to_be_agreed_to(self, bob: Customer, superuser: Staff) -> None:
        page = f"/admin/auth/user/{bob.account}/erase/"
        assert "INV-000001 open" in text_of(superuser.client.get(page))
        assert "Something is due on INV-000001" in told(superuser.client.post(page, follow=True))
        assert User.objects.get(pk=bob.account).username == "bob"
        superuser.client.post(page, {"open_invoices": "on"})
        assert User.objects.get(pk=bob.account).username == f"erased-{bob.account}"

    def test_who_has_not_the_permission_sees_nothing(self, bob: Customer, clerk: Staff) -> None:
        clerk.may("auth.view_user", "auth.change_user", "auth.delete_user")
        assert "Erase personal data" not in text_of(clerk.open(f"auth/user/{bob.account}/change/"))
        for ask in (clerk.open, clerk.send):
            assert ask(f"auth/user/{bob.account}/erase/").status_code == 403
        clerk.may("billing.erase_account")
        assert clerk.open(f"auth/user/{bob.account}/erase/").status_code == 200

    def test_nobody_brings_an_erased_account_back(self, alice: Customer, superuser: Staff) -> None:
        superuser.send(f"auth/user/{alice.account}/erase/")
        page = f"auth/user/{alice.account}/change/"
        assert superuser.open(page).status_code == 200
        assert superuser.send(page, username="alice", is_active="on").status_code == 403
        assert not User.objects.get(pk=alice.account).is_active

    def test_staff_are_not_erased(self, superuser: Staff, clerk: Staff) -> None:
        assert "Erase personal data" not in text_of(superuser.open(f"auth/user/{clerk.user.pk}/change/"))
        answer = superuser.client.post(f"/admin/auth/user/{clerk.user.pk}/erase/", follow=True)
        assert "is staff" in told(answer)


class TestTheCommand:
    def run(self, *args: str) -> str:
        out = StringIO()
        call_command("erase_account", *args, stdout=out, stderr=StringIO())
        return out.getvalue()

    def test_a_dry_run_says_what_it_would_meet(self, zyxwina: Customer) -> None:
        said = self.run(MARK, "--dry-run")
        assert "2 API keys" in said
        assert "1 invoices and 0 credit notes stay" in said
        assert User.objects.get(pk=zyxwina.account).username == MARK

    def test_by_name_or_number(self, zyxwina: Customer, alice: Customer) -> None:
        RetiredMonth.objects.create(starts_at=datetime(2090, 1, 1, tzinfo=UTC), file="/exports/2090_01.csv.gz")
        assert "left to you: the export /exports/2090_01.csv.gz" in self.run(MARK, "--yes")
        assert told_of(MARK) == []
        self.run(str(alice.account), "--yes")
        assert not User.objects.filter(username="alice").exists()

    def test_a_number_that_is_a_name_as_well_names_two(self, alice: Customer, bob: Customer) -> None:
        User.objects.filter(pk=bob.account).update(username=str(alice.account))
        for said in (f"--id {bob.account} or --id {alice.account}",):
            with pytest.raises(CommandError, match=said):
                self.run(str(alice.account), "--dry-run")
        assert f"alice (account {alice.account})" in self.run("--id", str(alice.account), "--dry-run")
        assert f"(account {bob.account})" in self.run("--id", str(bob.account), "--dry-run")

    def test_what_is_refused_is_one_line(self, bob: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(CommandError, match="there is no user nobody"):
            self.run("nobody")
        with pytest.raises(CommandError, match="Something is due on INV-000001"):
            self.run("bob", "--yes")
        monkeypatch.setattr("sys.stdin", StringIO("no\n"))
        with pytest.raises(CommandError, match="nothing was erased"):
            self.run("bob", "--yes-open-invoices")
        assert "is erased" in self.run("bob", "--yes", "--yes-open-invoices")
