"""What happens to an account becomes messages: of which type, with what in them, and each once."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from billing.entitlements import api_keys
from billing.models import (
    Invoice,
    OutboxMessage,
    PaymentAttempt,
    Plan,
    Subscription,
    WebhookDelivery,
    WebhookMessage,
)
from billing.outbox.kinds import Happened
from billing.payments.receive import receive
from billing.payments.reversals import reverse
from billing.subscriptions import canceling, changes
from billing.webhooks import bodies
from billing.webhooks.consumer import make_webhooks
from billing.webhooks.types import MEANINGS, PING, SUBSCRIBABLE, TYPES
from tests.billing.mails.mailing import happened
from tests.billing.webhooks.telling import dispatch, listen, listen_as_operator, make_key
from tests.cast import Customer
from tests.schema import validator

pytestmark = pytest.mark.django_db
URL = "http://127.0.0.1:9/"


def plan(code: str) -> Plan:
    return Plan.objects.get(code=code)


def told() -> list[Any]:
    """All bodies so far, in the order of their versions; each is as the OpenAPI document has it."""
    dispatch()
    rows = WebhookMessage.objects.order_by("version", "type").values_list("body", flat=True)
    for body in map(json.loads, rows):
        name = "".join(word.capitalize() for word in body["type"].replace("_", ".").split("."))
        errors = [error.message for error in validator(f"/components/schemas/{name}Message").iter_errors(body)]
        assert not errors, (body, errors)
    return [json.loads(body, parse_float=Decimal) for body in rows]


def test_an_upgrade_tells_of_plan_and_invoice(alice: Customer) -> None:
    listen(alice.account, URL)
    changes.upgrade(alice.account, plan("starter"), timezone.now())
    by_type = {body["type"]: body["data"] for body in told()}
    changed = by_type["subscription.changed"]
    assert (changed["change"], changed["previous_plan"], changed["plan"]) == ("plan_changed", "community", "starter")
    assert changed["id"] == str(Subscription.objects.live().get(account=alice.account).pk)
    invoice = Invoice.objects.get(account=alice.account)
    issued = by_type["invoice.issued"]
    assert (issued["id"], issued["status"], issued["currency"]) == (invoice.number, "open", "USD")
    assert issued["amount_due"] == issued["total"] == invoice.total
    assert {data["account"] for data in by_type.values()} == {alice.account}


def test_money_has_the_decimals_of_its_currency(bob: Customer) -> None:
    listen(bob.account, URL, ["invoice.issued"])
    changes.upgrade(bob.account, plan("pro"), timezone.now())
    dispatch()
    body = WebhookMessage.objects.get().body
    total = Invoice.objects.filter(account=bob.account).latest("pk").total
    assert f'"total":{total:.2f},' in body


def test_an_invoice_is_paid_and_taken_back(bob: Customer) -> None:
    listen(bob.account, URL, ["invoice.paid", "invoice.reversed"])
    invoice, now = Invoice.objects.get(account=bob.account), timezone.now()
    money = receive(bob.account, "USD", invoice.due, "bank", "T-1", now, now, invoice=invoice)
    (paid,) = told()
    assert (paid["type"], paid["data"]["status"], paid["data"]["amount_due"]) == ("invoice.paid", "paid", 0)
    reverse(money, invoice.total, "chargeback", "R-1", now)
    reversed_ = told()[-1]
    assert (reversed_["type"], reversed_["data"]["status"]) == ("invoice.reversed", "open")
    assert reversed_["data"]["amount_due"] == invoice.total
    assert reversed_["data"]["version"] > paid["data"]["version"]


def test_an_invoice_on_which_nothing_is_due_is_issued_and_paid(bob: Customer) -> None:
    listen(bob.account, URL)
    invoice = Invoice.objects.get(account=bob.account)
    happened(Happened.INVOICE_ISSUED, bob.account, invoice=invoice.pk, status="paid")
    assert [body["type"] for body in told()] == ["invoice.issued", "invoice.paid"]
    assert len(set(WebhookMessage.objects.values_list("pk", flat=True))) == 2


def test_a_downgrade_is_scheduled_and_canceled(bob: Customer) -> None:
    listen(bob.account, URL)
    now = timezone.now()
    row = changes.downgrade_with_effective_date(bob.account, plan("community"), now, frozenset())
    (scheduled,) = told()
    assert scheduled["type"] == "subscription.downgrade_scheduled"
    assert (scheduled["data"]["plan"], scheduled["data"]["target_plan"]) == ("starter", "community")
    assert row.scheduled_at is not None
    assert scheduled["data"]["effective_at"] == row.scheduled_at.isoformat().replace("+00:00", "Z")
    changes.cancel_scheduled_change(bob.account, now)
    canceled = told()[-1]
    assert canceled["type"] == "subscription.downgrade_canceled"
    assert canceled["data"]["version"] > scheduled["data"]["version"]


def test_a_cancellation_is_told_and_taken_back(bob: Customer) -> None:
    listen(bob.account, URL, ["subscription.changed"])
    canceling.cancel(bob.account, timezone.now())
    canceling.withdraw(bob.account, timezone.now())
    assert [body["data"]["change"] for body in told()] == ["cancel_scheduled", "cancel_withdrawn"]


def test_keys_are_told_by_their_beginning_and_never_whole(bob: Customer) -> None:
    listen(bob.account, URL)
    now = timezone.now()
    first = api_keys.create(bob.account, "server", now)
    second = api_keys.rotate(bob.account, first.key.pk, timedelta(hours=1), now)
    third = api_keys.rotate(bob.account, second.key.pk, timedelta(0), now)
    api_keys.revoke(bob.account, third.key.pk)
    assert [(body["type"], body["data"]["id"], body["data"]["replaces"]) for body in told()] == [
        ("api_key.created", first.key.pk, None),
        ("api_key.created", second.key.pk, first.key.pk),
        ("api_key.created", third.key.pk, second.key.pk),
        ("api_key.revoked", second.key.pk, first.key.pk),
        ("api_key.revoked", third.key.pk, second.key.pk),
    ]
    sent = "".join(WebhookMessage.objects.values_list("body", flat=True))
    assert not any(new.text.partition(".")[2] in sent for new in (first, second, third))


def test_a_threshold_is_told(alice: Customer) -> None:
    listen(alice.account, URL)
    said = {"limit": "included", "percent": 80, "tokens": 100, "used": 82}
    ends = "2025-11-01T00:00:00+00:00"
    happened(Happened.THRESHOLD_CROSSED, alice.account, crossing=5, window_ends_at=ends, **said)
    (body,) = told()
    assert body["type"] == "usage.threshold_reached"
    about = {"id": "5", "account": alice.account, "version": body["data"]["version"]}
    assert body["data"] == about | said | {"window_ends_at": "2025-11-01T00:00:00Z"}


@pytest.fixture
def attempt(bob: Customer) -> PaymentAttempt:
    invoice, now = Invoice.objects.get(account=bob.account), timezone.now()
    return PaymentAttempt.objects.create(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        account=bob.user,
        invoice=invoice,
        number=1,
        cause="issued",
        amount=invoice.due,
        currency="USD",
        provider="stripe",
        state="failed",
        decline_code="insufficient_funds",
        created_at=now,
        ended_at=now,
    )


def test_payments_that_fail_or_need_the_customer_are_told(bob: Customer, attempt: PaymentAttempt) -> None:
    listen(bob.account, URL)
    ids = {"attempt": str(attempt.pk), "invoice": attempt.invoice_id}
    happened(Happened.CHARGE_FAILED, bob.account, **ids, next_try_at="2025-10-17T12:00:00+00:00")
    happened(Happened.CHARGE_NEEDS_ACTION, bob.account, **ids)
    since = {"since": "2025-10-16T12:00:00+00:00", "pauses_at": ""}
    happened(Happened.PAST_DUE_BEGAN, bob.account, invoice=attempt.invoice_id, **since)
    failed, action, past_due = told()
    assert (failed["type"], failed["data"]["decline_code"]) == ("payment.failed", "insufficient_funds")
    assert failed["data"]["next_try_at"] == "2025-10-17T12:00:00Z"
    assert action["type"] == "payment.action_required"
    assert action["data"]["url"].endswith(f"/dashboard/billing/invoices/{attempt.invoice}/pay/")
    assert past_due["type"] == "subscription.past_due"
    assert (past_due["data"]["plan"], past_due["data"]["pauses_at"]) == ("starter", None)


def test_every_type_is_made_of_something_and_explained() -> None:
    source = Path(bodies.__file__).read_text()
    for name in SUBSCRIBABLE:
        assert f'"{name}"' in source, name
    assert set(MEANINGS) == set(TYPES) == {*SUBSCRIBABLE, PING}


def test_a_message_that_comes_twice_makes_one(bob: Customer) -> None:
    listen(bob.account, URL)
    listen_as_operator(URL)
    make_key(bob.account)
    dispatch()
    message = OutboxMessage.objects.filter(kind=Happened.API_KEY_ISSUED).latest("pk")
    before = list(WebhookMessage.objects.values_list("pk", "body"))
    for _ in range(3):
        make_webhooks(message)
    assert list(WebhookMessage.objects.values_list("pk", "body")) == before and len(before) == 1
    assert WebhookDelivery.objects.count() == 2


def test_types_that_are_not_wanted_are_not_sent(bob: Customer) -> None:
    listen(bob.account, URL, ["invoice.paid"])
    make_key(bob.account)
    dispatch()
    assert not WebhookMessage.objects.exists()


def test_nobody_hears_of_anothers(alice: Customer, bob: Customer) -> None:
    listen(alice.account, URL)
    make_key(bob.account)
    dispatch()
    assert not WebhookMessage.objects.exists()


def test_who_is_deactivated_is_told_nothing(bob: Customer) -> None:
    listen(bob.account, URL)
    bob.user.is_active = False
    bob.user.save()
    make_key(bob.account)
    dispatch()
    assert not WebhookMessage.objects.exists()


def test_without_an_endpoint_a_message_costs_one_query(bob: Customer, django_assert_num_queries: Any) -> None:
    happened(Happened.PERIOD_RENEWED, bob.account, subscription=1, plan="starter", period=2)
    make_key(bob.account)
    dispatch()
    renewed = OutboxMessage.objects.get(kind=Happened.PERIOD_RENEWED)
    issued = OutboxMessage.objects.filter(kind=Happened.API_KEY_ISSUED).latest("pk")
    with django_assert_num_queries(0):
        make_webhooks(renewed)
    with django_assert_num_queries(1):
        make_webhooks(issued)


def test_a_body_stays_far_below_64_kb(bob: Customer) -> None:
    listen(bob.account, URL)
    make_key(bob.account, "\U0001f511" * 50)
    dispatch()
    assert len(WebhookMessage.objects.get().body.encode()) < bodies.LARGEST / 20


def test_what_outlived_its_account_fails_nobody() -> None:
    listen_as_operator(URL)
    happened(Happened.API_KEY_REVOKED, 10**9, key="none")
    dispatch()
    assert not WebhookMessage.objects.exists()
