"""A customer whose name stands wherever a customer's can stand."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from billing.models import ApiKey, Invoice, LimitOverride, OutboxCursor, TokenTopUp
from tests.billing.ledger import pay_in_full
from tests.cast import Customer, Staff
from tests.usage.drifting import sql
from tests.usage.traces import MARK
from usage.metering.reset import reset_usage
from usage.models import SetAsideEntry


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
