"""A person is erased: no table and no key of Redis says the name any more, and the ledger and every sum stay."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone

from billing.erasure import erase
from billing.models import ApiKey, Erasure, Invoice, OutboxMessage, Subscription
from billing.subscriptions import refusals
from billing.subscriptions.period_end import renewal
from billing.tasks import finish_erasures
from tests.billing.ledger import assert_explained, fresh
from tests.cast import Customer, Staff
from tests.outages import no_redis
from tests.usage.drifting import compared
from tests.usage.histories import charge
from tests.usage.traces import MARK, told_of
from usage.drain import drain
from usage.log import store
from usage.metering.reset import reset_usage
from usage.models import UsageLog
from usage.sync import outage

pytestmark = pytest.mark.django_db(transaction=True)


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
