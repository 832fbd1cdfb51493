"""Messages are written with their fact or not at all, and kept as they were written."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.db.transaction import TransactionManagementError

from billing.models import OutboxMessage
from billing.outbox.kinds import Happened
from billing.outbox.record import record, record_all
from tests.billing.outbox.taking import ALICE, BOB, NOON, number

pytestmark = pytest.mark.django_db


def written() -> list[tuple[int, str, Any]]:
    return list(OutboxMessage.objects.order_by("pk").values_list("account_id", "kind", "payload"))


def test_a_message_names_what_happened_to_whom() -> None:
    record(Happened.INVOICE_ISSUED, ALICE, invoice=7, number="INV-000007")
    assert written() == [(ALICE, "invoice.issued", {"invoice": 7, "number": "INV-000007"})]


def test_codes_arrive_as_they_are() -> None:
    odd = 'tab\t, line\n, "quoted", \\N, \\., ü, \u2028, {}'
    record(Happened.SUBSCRIPTION_OPENED, ALICE, plan=odd)
    assert written() == [(ALICE, "subscription.opened", {"plan": odd})]


def test_many_are_one_statement_in_their_order() -> None:
    accounts = [BOB, ALICE] * 250
    record_all(Happened.SUBSCRIPTION_OPENED, [(account, {"plan": f"plan-{n}"}) for n, account in enumerate(accounts)])
    found = written()
    assert [account for account, _, _ in found] == accounts
    assert [payload["plan"] for _, _, payload in found] == [f"plan-{n}" for n in range(500)]


def test_nothing_is_nothing() -> None:
    record_all(Happened.SUBSCRIPTION_OPENED, [])
    assert written() == []


def test_a_fact_that_is_rolled_back_has_not_happened() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record(Happened.SUBSCRIPTION_PARKED, ALICE, subscription=1)
        raise ZeroDivisionError
    assert written() == []


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_it_is_refused() -> None:
    with pytest.raises(TransactionManagementError):
        record(Happened.SUBSCRIPTION_PARKED, ALICE, subscription=1)
    assert written() == []


@pytest.mark.parametrize("change", [{"kind": "other"}, {"payload": {}}, {"account": BOB}, {"recorded_at": NOON}])
def test_what_happened_is_not_changed(change: dict[str, Any]) -> None:
    record(Happened.SUBSCRIPTION_PARKED, ALICE, subscription=1)
    with pytest.raises(DatabaseError, match="kept as it was written"), transaction.atomic():
        OutboxMessage.objects.update(**change)


def test_a_position_is_given_once() -> None:
    record(Happened.SUBSCRIPTION_PARKED, ALICE, subscription=1)
    assert number() == 1
    with pytest.raises(DatabaseError, match="kept as it was written"), transaction.atomic():
        OutboxMessage.objects.update(position=10**9)


def test_a_message_that_nobody_has_seen_is_not_deleted() -> None:
    record(Happened.SUBSCRIPTION_PARKED, ALICE, subscription=1)
    with pytest.raises(DatabaseError, match="kept as it was written"), transaction.atomic():
        OutboxMessage.objects.all().delete()
    number()
    assert OutboxMessage.objects.all().delete()[0] == 1
