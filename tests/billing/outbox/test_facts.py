"""Which facts write a message, in which order, and that a fact that did not happen writes none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from billing.invoicing import credit_notes
from billing.invoicing.ledger import BillingError
from billing.models import ApiKey, Invoice, LimitOverride, OutboxMessage, Plan, Subscription, TokenTopUp
from billing.subscriptions import changes, opening, quotes
from billing.subscriptions.period_end import releasing, renewal
from billing.subscriptions.refusals import NothingScheduled
from billing.subscriptions.staff import changes as staff_changes
from tests.billing.closers import many_due
from tests.billing.ledger import fresh, invoices, pay, pay_in_full
from tests.factories import at, make_plan, make_subscription, money

pytestmark = pytest.mark.django_db
START, MIDDLE, END = at("2025-10-01"), at("2025-10-16"), at("2025-11-01")
Since = Callable[[], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def low() -> Plan:
    return make_plan("low", 31, 1)


@pytest.fixture
def high() -> Plan:
    return make_plan("high", 93, 3)


def kinds_of(account: int) -> list[str]:
    return list(OutboxMessage.objects.filter(account=account).order_by("pk").values_list("kind", flat=True))


@pytest.fixture
def since() -> Since:
    """The messages since it was asked last, of the only account."""
    last = 0

    def ask() -> list[tuple[str, dict[str, Any]]]:
        nonlocal last
        rows = list(OutboxMessage.objects.filter(pk__gt=last).order_by("pk"))
        last = rows[-1].pk if rows else last
        return [(row.kind, row.payload) for row in rows]

    return ask


def test_the_life_of_a_subscription(low: Plan, high: Plan, since: Since) -> None:
    subscription = make_subscription(low, START)
    account, sub = subscription.account_id, {"subscription": subscription.pk}
    (base,) = invoices(subscription)
    assert since() == [
        ("subscription.opened", {**sub, "plan": "low"}),
        ("invoice.issued", {"invoice": base.pk, "status": "open"}),
    ]
    issued = changes.upgrade(account, high, MIDDLE).invoice
    both = {"from_plan": "low", "to_plan": "high", "invoice": issued.pk}
    assert since() == [
        ("invoice.issued", {"invoice": issued.pk, "status": "open"}),
        ("subscription.plan_changed", {**sub, **both}),
    ]
    for _ in range(2):
        changes.downgrade_with_effective_date(account, low, MIDDLE, frozenset())
        assert since() == [("subscription.change_scheduled", {**sub, "plan": "low"})]
    changes.cancel_scheduled_change(account, MIDDLE)
    assert since() == [("subscription.schedule_cancelled", {**sub, "plan": "low"})]
    with pytest.raises(NothingScheduled):
        changes.cancel_scheduled_change(account, MIDDLE)
    changes.downgrade_with_effective_date(account, low, MIDDLE, frozenset())
    renewal.renew_due(END)
    assert since() == [
        ("subscription.change_scheduled", {**sub, "plan": "low"}),
        ("subscription.schedule_applied", {**sub, "from_plan": "high", "to_plan": "low"}),
        ("subscription.renewed", {**sub, "plan": "low", "period": 1}),
        ("invoice.issued", {"invoice": invoices(subscription)[-1].pk, "status": "open"}),
    ]


def test_a_late_renewal_writes_each_period(low: Plan, since: Since) -> None:
    make_subscription(low, START)
    since()
    renewal.renew_due(at("2026-01-15"))
    assert [payload["period"] for kind, payload in since() if kind == "subscription.renewed"] == [1, 2, 3]


def test_many_renewals_at_once(low: Plan, high: Plan) -> None:
    many_due(600, low, to=high)
    renewal.renew_due(END)
    renewed, changed = ["subscription.renewed", "invoice.issued"], ["subscription.schedule_applied"]
    for position, subscription in enumerate(Subscription.objects.order_by("pk")):
        assert kinds_of(subscription.account_id) == (changed if position % 2 else []) + renewed


def test_one_that_is_parked_and_released(low: Plan, settings: Any, since: Since) -> None:
    subscription = make_subscription(low, START)
    settings.LARGEST_INVOICE = 30
    since()
    renewal.renew_due(END)
    assert since() == [("subscription.parked", {"subscription": subscription.pk})]
    releasing.release(fresh(subscription), END)
    assert [kind for kind, _ in since()] == ["subscription.released", "subscription.renewed", "invoice.issued"]


def test_payments_credits_and_voids(low: Plan, since: Since) -> None:
    first, second = (make_subscription(low, START) for _ in range(2))
    (paid,), (voided,) = invoices(first), invoices(second)
    since()
    pay(paid, money(10), START, "part")
    assert [kind for kind, _ in since()] == ["money.received", "payment.recorded"]
    pay(paid, money(10), START, "part")
    assert since() == []
    pay_in_full(Invoice.objects.get(pk=paid.pk), START)
    assert [kind for kind, _ in since()] == ["money.received", "payment.recorded", "invoice.paid"]
    note = credit_notes.credit(Invoice.objects.get(pk=paid.pk), money(5), "outage", MIDDLE)
    assert since() == [("credit_note.issued", {"credit_note": note.pk, "invoice": paid.pk})]
    credit_notes.void(voided, MIDDLE)
    assert since() == [("invoice.voided", {"invoice": voided.pk})]
    with pytest.raises(BillingError):
        credit_notes.void(voided, MIDDLE)
    assert since() == []


def test_a_credit_note_over_all_that_is_due_settles_the_invoice(low: Plan, since: Since) -> None:
    (invoice,) = invoices(make_subscription(low, START))
    since()
    credit_notes.credit(invoice, money(31), "outage", MIDDLE)
    assert [kind for kind, _ in since()] == ["invoice.paid", "credit_note.issued"]


def test_an_invoice_over_nothing_is_issued_as_paid(low: Plan, high: Plan, since: Since) -> None:
    subscription = make_subscription(high, START)
    pay_in_full(invoices(subscription)[0], START)
    since()
    with transaction.atomic():
        quote = quotes.quote(changes.locked(subscription.account_id, MIDDLE).current_period(), low, MIDDLE)
        changes.change_now(quote, MIDDLE)
    (kind, payload), _ = since()
    assert (kind, payload["status"]) == ("invoice.issued", "paid")


def test_keys_name_their_prefix_and_nothing_more(since: Since) -> None:
    user = User.objects.create_user("bob")
    key, _ = ApiKey.issue(account=user, name="Bob's laptop")
    assert since() == [("api_key.issued", {"key": key.prefix})]
    key.revoke()
    assert since() == [("api_key.revoked", {"key": key.prefix})]
    assert ApiKey.objects.get().revoked


def test_limits_are_changed_by_overrides_and_top_ups(since: Since) -> None:
    user = User.objects.create_user("bob")
    override = LimitOverride.objects.create(account=user, limit="minute", maximum=5)
    top_up = TokenTopUp.objects.create(account=user, tokens=5)
    override.maximum = 6
    override.save()
    named = override.pk
    override.delete()
    assert since() == [
        ("limits.changed", {"override": named}),
        ("limits.changed", {"top_up": top_up.pk}),
        ("limits.changed", {"override": named}),
        ("limits.changed", {"override": named}),
    ]


def test_what_staff_only_look_at_has_not_happened(low: Plan, high: Plan, since: Since) -> None:
    subscription = make_subscription(low, START)
    since()
    staff_changes.preview_change(subscription.account_id, high, MIDDLE)
    assert since() == []


def test_what_is_rolled_back_has_not_happened(low: Plan, high: Plan, since: Since) -> None:
    subscription = make_subscription(low, START)
    since()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        changes.upgrade(subscription.account_id, high, MIDDLE)
        opening.subscribe(User.objects.create_user("new").pk, low, MIDDLE)
        raise ZeroDivisionError
    assert since() == []


def test_one_that_fails_in_a_batch_leaves_no_message(low: Plan, high: Plan) -> None:
    sound, faulty = make_subscription(high, START), make_subscription(low, START)
    Plan.objects.filter(pk=low.pk).update(price="31.005")
    renewal.renew_due(END)
    assert "subscription.renewed" in kinds_of(sound.account_id)
    assert "subscription.renewed" not in kinds_of(faulty.account_id)
